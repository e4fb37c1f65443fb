"""What the reader states about a scan that its files do not say, and how she is asked for it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from napari_covseg.io.files import written

Question = Literal["series", "spacing", "window", "straighten"]


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What a folder holds of one DICOM series."""

    uid: str
    modality: str
    slices: int
    description: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What the reader states about a scan.

    Parameters
    ----------
    series
        Which DICOM series of a folder: its UID, or its number in the list that `describe_series` gives, from 1.
    spacing_mm
        Between pixel columns, between rows, and between slices, for files that do not say where they are.
    window_hu
        The Hounsfield units that are black and white, for pictures.
    straighten
        Whether the slices of a tilted gantry are to be resampled onto an upright grid.

    Raises
    ------
    ValueError
        If a spacing is not three lengths of 0.05 … 100 mm, or a window does not go from less to more.
    """

    series: str | None = None
    spacing_mm: tuple[float, float, float] | None = None
    window_hu: tuple[float, float] | None = None
    straighten: bool = False

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not is_spacing(self.spacing_mm):
            raise ValueError("A spacing is three lengths of 0.05 to 100 mm: between columns, rows and slices.")
        if self.window_hu is not None and not -1e5 < self.window_hu[0] < self.window_hu[1] < 1e5:
            raise ValueError("A window goes from the Hounsfield units of black to the greater ones of white.")


NOTHING = Stated()
KEPT_IN = "stated.json"


class UnstatedError(ValueError):
    """A scan cannot be opened before the reader has answered a question.

    Parameters
    ----------
    sentence
        What is the matter and what to do.
    questions
        What to ask the reader, one after the other. How she is to answer, whoever asks her knows.
    series
        The series to choose from, where that is a question.
    """

    def __init__(self, sentence: str, *questions: Question, series: tuple[SeriesSummary, ...] = ()) -> None:
        super().__init__(sentence)
        self.questions, self.series = questions, series

    @property
    def question(self) -> Question:
        """What to ask first."""
        return self.questions[0]


def keep(stated: Stated, folder: Path) -> None:
    """Remember in a session's folder what was stated when its scan was opened, so that it can be opened again."""
    if stated != NOTHING:
        with written(folder / KEPT_IN) as draft:
            draft.write_bytes(TypeAdapter(Stated).dump_json(stated))


def kept_in(folder: Path) -> Stated:
    """Return what was stated when the scan of a session was opened; nothing where nothing was."""
    with suppress(OSError, ValidationError):
        return TypeAdapter(Stated).validate_json((folder / KEPT_IN).read_text("utf-8"))
    return NOTHING


def told(stated: Stated) -> dict[str, Any]:
    """Return what was stated, as JSON has it."""
    facts: dict[str, Any] = TypeAdapter(Stated).dump_python(stated, mode="json")
    return facts


def read(facts: object) -> Stated:
    """Return what `told` told; nothing where it cannot be understood."""
    with suppress(ValidationError):
        return TypeAdapter(Stated).validate_python(facts)
    return NOTHING


def is_spacing(spacing_mm: tuple[float, ...]) -> bool:
    """Whether these are three lengths between neighbouring voxels that a CT can have."""
    return len(spacing_mm) == 3 and all(0.05 <= mm <= 100 for mm in spacing_mm)
