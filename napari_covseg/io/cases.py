"""The ``--cases`` layout: annotated scans and slices in a folder.

``<case>_ct.nii.gz`` + ``<case>_lesion.nii.gz`` (+ ``_lung.nii.gz``) are scans; ``<name>_image.png`` +
``<name>_label.png`` (+ ``_lung.png``) are slices. ``cases.json`` says, per case or glob, which classes are annotated,
whose patient it is and, optionally, which slices (numbered from 1 at the apex) count. A training pack (`io.packs`) is
taken wherever such a folder is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from napari_covseg.io import nifti, packs
from napari_covseg.io.hounsfield import windowed
from napari_covseg.io.label_pictures import read_label_picture
from napari_covseg.io.label_values import known
from napari_covseg.io.pictures import NOMINAL_MM, grey_of_picture, reading_grid
from napari_covseg.io.scans import plausible, read_labels
from napari_covseg.io.stated import UnstatedError
from napari_covseg.volume import LUNGS, LabelMap, Volume, fitted, reoriented

PNG_WINDOW_HU = (-1000.0, 400.0)
"""The window an 8-bit slice is taken to show; grey 0 … 255."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    annotated: tuple[str, ...] = ("ggo", "consolidation", "effusion")
    patient: str | None = None
    slices: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One annotated scan or slice on disk.

    Parameters
    ----------
    name
        Its stem in the folder.
    image, labels, lung
        The files; of a case in a pack, ``<pack>/<member>/`` and the names they would have in a folder.
    annotated
        Names of the classes somebody looked for; the absence of any other class means nothing.
    patient
        Cases of one patient never end up on both sides of a split.
    slices
        Slice numbers that count, from 1 at the apex; None for all.
    """

    name: str
    image: Path
    labels: Path
    lung: Path | None
    annotated: frozenset[str]
    patient: str
    slices: tuple[int, ...] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is a lone slice that does not say its pixel size."""
        return self.image.suffix == ".png"


def find_cases(folders: Sequence[Path]) -> tuple[Case, ...]:
    """Return the annotated cases of some folders and packs, those of a folder ordered by name.

    Raises
    ------
    ValueError
        If a folder is missing or holds none, its ``cases.json`` is not to be understood, or a file is no pack.
    """
    return tuple(
        case for place in folders for case in (_packed_in(place) if packs.is_pack(place) else _cases_in(place))
    )


def read_case(case: Case) -> tuple[Volume, LabelMap, LabelMap | None]:
    """Return scan, lesion labels and, where there is one, lung mask, all on one grid in reading order.

    Raises
    ------
    ValueError
        If a file cannot be read, the scan is no chest CT in Hounsfield units, or the labels are not of it.
    """
    pack, member = case.image.parent.parent, case.image.parent.name
    if packs.is_pack(pack):
        return packs.read_entry(pack, packs.entry_of(pack, member))
    if case.is_picture:
        scan, labels = _png_slice(case.image), known(read_label_picture(case.labels), case.labels.name)
        return scan, labels, known(read_label_picture(case.lung, LUNGS), case.lung.name) if case.lung else None
    scan = _scan(case.image)
    labels = reoriented(fitted(read_labels(case.labels), scan))
    lung = reoriented(fitted(read_labels(case.lung, LUNGS), scan)) if case.lung else None
    return reoriented(scan), labels, lung


def _cases_in(folder: Path) -> list[Case]:
    if not folder.is_dir():
        raise ValueError(f"There is no folder or training pack {folder}; check the name.")
    entries = _entries(folder)
    cases = []
    for found in sorted([*folder.glob("*_ct.nii.gz"), *folder.glob("*_image.png")]):
        name = found.name.rsplit("_", 1)[0]
        image, labels, lung = _files(folder, name, is_picture=found.suffix == ".png")
        if not labels.exists():
            continue
        entry = next((e for pattern, e in entries.items() if fnmatchcase(name, pattern)), _Entry())
        patient = entry.patient or folder.name
        annotated = frozenset(entry.annotated)
        cases.append(Case(name, image, labels, lung if lung.exists() else None, annotated, patient, entry.slices))
    if not cases:
        raise ValueError(
            f"{folder} holds no case: no *_ct.nii.gz with *_lesion.nii.gz, no *_image.png with *_label.png."
        )
    return cases


def _packed_in(pack: Path) -> list[Case]:
    cases = []
    for entry in packs.entries(pack):
        image, labels, lung = _files(pack / entry.member, entry.name, is_picture=entry.is_picture)
        known = frozenset(entry.annotated)
        cases.append(
            Case(entry.name, image, labels, lung if entry.has_lung else None, known, entry.patient, entry.slices)
        )
    return cases


def _files(folder: Path, name: str, *, is_picture: bool) -> tuple[Path, Path, Path]:
    endings = ("image.png", "label.png", "lung.png") if is_picture else ("ct.nii.gz", "lesion.nii.gz", "lung.nii.gz")
    image, labels, lung = (folder / f"{name}_{ending}" for ending in endings)
    return image, labels, lung


def _entries(folder: Path) -> dict[str, _Entry]:
    path = folder / "cases.json"
    if not path.exists():
        return {}
    try:
        return TypeAdapter(dict[str, _Entry]).validate_python(json.loads(path.read_text("utf-8")))
    except (json.JSONDecodeError, ValidationError) as error:
        raise ValueError(f"{path} is not to be understood: {str(error).splitlines()[0]}.") from error


def _scan(path: Path) -> Volume:
    """Return a scan in Hounsfield units; slices of a tilted gantry are slices as any other."""
    try:
        return plausible(nifti.read_volume(path), path)
    except UnstatedError:
        raise ValueError(
            f"{path.name} holds the grey values of an 8-bit picture, not Hounsfield units; convert the scanner's own "
            "series, or give its slices as *_image.png."
        ) from None


def _png_slice(path: Path) -> Volume:
    grey = grey_of_picture(path)
    hu = windowed(grey, PNG_WINDOW_HU, float(np.iinfo(grey.dtype).max))[None]
    return Volume(hu, reading_grid(hu.shape, NOMINAL_MM), path.name.removesuffix("_image.png"))
