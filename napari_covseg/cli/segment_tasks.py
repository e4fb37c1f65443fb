"""What ``covseg segment`` has to do: each scan with the label map it becomes, and which of these are there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_covseg.cli.verb import gave_up

if TYPE_CHECKING:
    from napari_covseg.io import Stated

PROBABILITY = "probability_"
"""Begins what a map of a class's probability is called, before the class."""


@dataclass(frozen=True, slots=True)
class Task:
    """One scan and the label map it is to become."""

    scan: Path
    lesion: Path
    stated: Stated

    @property
    def lung(self) -> Path:
        """Where the lung mask goes, for the networks that know the lung."""
        return self.beside("lung")

    @property
    def is_picture(self) -> bool:
        """Whether the label map is a picture, as the scan is."""
        return self.lesion.suffix == ".png"

    def probabilities(self) -> dict[str, Path]:
        """Return the maps of probability that are there, by class."""
        from napari_covseg.volume import LESIONS

        paths = {name: self.beside(f"{PROBABILITY}{name}") for name in ("lung", *LESIONS.names)}
        return {name: path for name, path in paths.items() if path.exists()}

    def beside(self, what: str) -> Path:
        """Return where something else about the same scan goes."""
        stem, ending = self.lesion.name.rsplit("lesion", 1)
        return self.lesion.with_name(f"{stem}{what}{ending}")


def task_for(out: Path, network: str, stated: Stated, scan: Path) -> Task:
    """Return what a scan is to become; series of one folder get label maps of different names."""
    from napari_covseg.io import is_picture, stem_of

    ending = ".png" if is_picture(scan) else ".nii.gz"
    series = f"_series{stated.series[-8:]}" if stated.series else ""
    return Task(scan, out / f"{stem_of(scan)}{series}_{network}_lesion{ending}", stated)


def tasks_at(inputs: Sequence[Path], task_of: Callable[[Path], Task], failed: list[dict[str, str]]) -> list[Task]:
    """Return what is to be done; inputs that are no scans are reported and go to `failed`."""
    scans: list[Path] = []
    for path in inputs:
        try:
            scans.extend(_scans_at(path))
        except (ValueError, OSError) as error:
            give_up(path, error, failed)
    tasks = [task_of(scan) for scan in dict.fromkeys(scans)]
    clash = next((path for path, count in Counter(task.lesion for task in tasks).items() if count > 1), None)
    if clash is not None:
        raise typer.BadParameter(f"two inputs would both become {clash.name}; segment them into different folders.")
    return tasks


def finished_among(tasks: list[Task], wanted: range | None, failed: list[dict[str, str]]) -> list[Task]:
    """Return the tasks whose label map is there; a map of other slices is reported, kept, and its task dropped."""
    from napari_covseg.io import note_in

    finished = []
    for task in list(tasks):
        if not task.lesion.exists():
            continue
        try:
            note = "" if task.is_picture else note_in(task.lesion)
            if note not in ("", note_of(wanted)):
                raise ValueError(f"{task.lesion} is of {note} only; --overwrite makes it again.")
            finished.append(task)
        except (ValueError, OSError) as error:
            give_up(task.scan, error, failed)
            tasks.remove(task)
    return finished


def note_of(wanted: range | None) -> str:
    """Return what a label map of these slices alone says of itself; nothing of one of all slices."""
    return f"slices {wanted.start + 1}:{wanted.stop}" if wanted is not None else ""


def _scans_at(path: Path) -> list[Path]:
    """Return the scans an input stands for: itself, or the scan files of a folder.

    Raises
    ------
    ValueError
        If there is none.
    """
    from napari_covseg.io import format_of, is_named_labels

    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the name.")
    if not path.is_dir() or format_of(path) == "DICOM":
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and format_of(file))
    scans = [file for file in files if not file.name.startswith(".") and not is_named_labels(file)]
    if not scans:
        raise ValueError(f"{path} holds neither DICOM slices nor scan files; name a folder that does.")
    return scans


def give_up(path: Path, error: Exception, failed: list[dict[str, str]]) -> None:
    """Tell why an input is left out, and keep that among the failures."""
    failed.append({"input": str(path), "error": gave_up(error)})
