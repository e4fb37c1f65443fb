"""Options that several verbs share, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_covseg.io import Stated
    from napari_covseg.io.stated import Question


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def known_network(key: str) -> str:
    """Return the key of a network that there is, or refuse it as wrong use."""
    from napari_covseg.networks import available

    if key not in available():
        raise typer.BadParameter(f"there is no network {key!r}; there are {', '.join(available())}.")
    return key


def known_network_or_all(key: str) -> str:
    """Return the key of a network that there is, or ``all``, or refuse it as wrong use."""
    from napari_covseg.networks.registry import ALL_NETWORKS

    return key if key == ALL_NETWORKS else known_network(key)


def named_as_checkpoint(file: Path) -> Path:
    """Return a checkpoint's file, or refuse as wrong use a name under which nothing would find it."""
    if file.suffix != CHECKPOINT_SUFFIX:
        raise typer.BadParameter(f"a checkpoint's name ends in {CHECKPOINT_SUFFIX}, not as {file.name} does.")
    return file


def named_as_child(out: str) -> str:
    """Return a checkpoint's file, or the name alone of one among the reader's own; refuse all else as wrong use."""
    return out if is_name_alone(out) else str(named_as_checkpoint(Path(out)))


def finite(number: float | None) -> float | None:
    """Return a number, or refuse infinity as wrong use; what is no number the option's own bounds refuse."""
    if number is not None and isinf(number):
        raise typer.BadParameter("infinity is no number to compute with.")
    return number


def is_name_alone(out: str) -> bool:
    """Whether what was given is a name, of no folder, not even this one, and without a suffix."""
    return Path(out).name == out and not Path(out).suffix


CHECKPOINT_SUFFIX = ".safetensors"

ANSWERS: Mapping[Question, str] = {
    "series": "--series NUMBER",
    "spacing": "--spacing X,Y,Z",
    "window": "--window LEVEL/WIDTH",
    "straighten": "--straighten",
}
"""The options that answer what a scan does not say."""

Network = Annotated[
    str,
    typer.Option("--network", metavar="KEY", callback=known_network, help="The network; 'covseg networks' lists them."),
]
NetworkOrAll = Annotated[
    str,
    typer.Option(
        "--network",
        metavar="KEY|all",
        callback=known_network_or_all,
        help="The network, or all of them voting together; 'covseg networks' lists them.",
    ),
]
CheckpointName = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="NAME|FILE",
        help="Its trained weights, by name or file; by default those that come with the program.",
    ),
]
OnDevice = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes the fastest there is.")]
CheckpointFile = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        dir_okay=False,
        callback=named_as_checkpoint,
        help="The checkpoint to write (.safetensors).",
    ),
]
ChildNameOrFile = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="NAME|FILE",
        callback=named_as_child,
        help="The checkpoint to write: a name, under which 'covseg networks' and the window list it, or a file "
        "(.safetensors), which they do not.",
    ),
]
OutFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Folder to write into; made if missing.")
]


SeriesWanted = Annotated[
    str | None,
    typer.Option(
        "--series", metavar="NUMBER|UID", help="Which DICOM series of a folder; 'covseg info' numbers them from 1."
    ),
]
SpacingStated = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="X,Y,Z",
        help="Millimetres between columns, rows and slices that do not say where they are.",
    ),
]
WindowStated = Annotated[
    str | None,
    typer.Option("--window", metavar="LEVEL/WIDTH", help="The window in HU that pictures show, such as -600/1500."),
]
Straighten = Annotated[
    bool, typer.Option("--straighten", help="Resample slices of a tilted gantry onto an upright grid.")
]


def parsed_stated(series: str | None, spacing: str | None, window: str | None, straighten: bool) -> Stated:
    """Return what the reader states about a scan.

    Raises
    ------
    typer.BadParameter
        If a spacing is not three lengths, or a window not a level and a width.
    """
    from napari_covseg.io import Stated

    level_width = _parsed_numbers(window, "/", 2, "'--window'", "a window; write level/width in HU, such as -600/1500")
    xyz = _parsed_numbers(spacing, ",", 3, "'--spacing'", "a spacing; write three lengths in mm, such as 0.7,0.7,5")
    try:
        return Stated(
            series=series,
            spacing_mm=(xyz[0], xyz[1], xyz[2]) if xyz else None,
            window_hu=(level_width[0] - level_width[1] / 2, level_width[0] + level_width[1] / 2)
            if level_width
            else None,
            straighten=straighten,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _parsed_numbers(text: str | None, mark: str, count: int, hint: str, wanted: str) -> list[float]:
    if text is None:
        return []
    try:
        numbers = [float(part.replace("−", "-")) for part in text.replace("×", mark).split(mark)]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise typer.BadParameter(f"{text!r} is not {wanted}.", param_hint=hint)
    return numbers


def parsed_slices(text: str | None) -> range | None:
    """Return the indices from the apex that ``A:B`` means (from 1, B included); None for all slices.

    Raises
    ------
    typer.BadParameter
        If it is not two numbers, the smaller first.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise typer.BadParameter(
            f"{text!r} is not a range of slices; write 12:30 for slices 12 to 30, counted from 1 at the apex.",
            param_hint="'--slices'",
        )
    return range(int(first) - 1, int(last))
