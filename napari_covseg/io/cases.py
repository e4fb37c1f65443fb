"""The ``--cases`` layout: annotated scans and slices in a folder.

``<case>_ct.nii.gz`` + ``<case>_lesion.nii.gz`` (+ ``_lung.nii.gz``) are scans; ``<name>_image.png`` +
``<name>_label.png`` (+ ``_lung.png``) are slices. ``cases.json`` says, per case or glob, which classes are annotated,
whose patient it is and, optionally, which slices (numbered from 1 at the apex) count. A training pack (`io.packs`) is
taken wherever such a folder is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_covseg.io import nifti, packs
from napari_covseg.io.case_listing import MOST_NAMED, assumed, case_entries, entry_of, require_names, require_slices
from napari_covseg.io.hounsfield import windowed
from napari_covseg.io.label_pictures import read_label_picture
from napari_covseg.io.label_values import classes_alone, known
from napari_covseg.io.pictures import NOMINAL_MM, grey_of_picture, reading_grid
from napari_covseg.io.scans import plausible, read_labels
from napari_covseg.io.sentences import count
from napari_covseg.io.stated import UnstatedError
from napari_covseg.volume import LESIONS, LUNGS, ClassScheme, LabelMap, Volume, fitted, reoriented

PNG_WINDOW_HU = (-1000.0, 400.0)
"""The window an 8-bit slice is taken to show; grey 0 … 255."""

_ENDINGS = (("ct.nii.gz", "lesion.nii.gz", "lung.nii.gz"), ("image.png", "label.png", "lung.png"))
"""Of scans and of pictures: the image, its labels, its lung mask."""


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
    is_patient_stated
        Whether somebody said whose it is; else it goes by its folder's name, as all cases there do.
    """

    name: str
    image: Path
    labels: Path
    lung: Path | None
    annotated: frozenset[str]
    patient: str
    slices: tuple[int, ...] | None = None
    is_patient_stated: bool = True

    @property
    def is_picture(self) -> bool:
        """Whether it is a lone slice that does not say its pixel size."""
        return self.image.suffix == ".png"

    def indices(self, depth: int) -> tuple[int, ...]:
        """Return which slices of a scan of so many count, in order, numbered from 0; all where none are named.

        Raises
        ------
        ValueError
            If some are named that the scan does not have.
        """
        if self.slices is None:
            return tuple(range(depth))
        beyond = sorted(number for number in set(self.slices) if not 1 <= number <= depth)
        if beyond:
            raise ValueError(f"cases.json names slices of {self.name} beyond its {depth} ({beyond[0]}); correct them.")
        return tuple(sorted({number - 1 for number in self.slices}))


@dataclass(frozen=True, slots=True)
class Origin:
    """The scan that a case was taken from.

    Parameters
    ----------
    voxels_sha256
        Its fingerprint, `Volume.voxels_sha256`; empty of a case in a pack that does not say it.
    slices_sha256
        Those of its slices, `Volume.slices_sha256`; empty of a case in a pack that does not say them.
    first
        Which of its slices, numbered from 0, is the case's first.
    """

    voxels_sha256: str
    slices_sha256: tuple[str, ...] = ()
    first: int = 0


def find_cases(folders: Sequence[Path], tell: Callable[[str], object] = warnings.warn) -> tuple[Case, ...]:
    """Return the annotated cases of some folders and packs, those of a folder ordered by name.

    Parameters
    ----------
    folders
        Where to look.
    tell
        Hears a sentence about files that are left out, as scans without labels are, about cases that are given twice,
        as in a folder and in its pack, and about what is assumed of those of which no ``cases.json`` says anything.

    Raises
    ------
    ValueError
        If a folder is missing or holds none, its ``cases.json`` cannot be understood, or a file is no pack.
    """
    places: dict[str, Path] = {}
    for place in folders:
        if places.setdefault(os.path.realpath(place), place) is not place:
            tell(f"{place} was given already; its cases count once.")
    found = [
        case
        for place in places.values()
        for case in (_packed_in(place) if packs.is_pack(place) else _cases_in(place, tell))
    ]
    return tuple(_each_once(found, tell))


def read_case(case: Case) -> tuple[Volume, LabelMap, LabelMap | None]:
    """Return scan, lesion labels and, where there is one, lung mask, all on one grid in reading order.

    The notes of each tell what is doubtful about it (`case_doubts.Doubts` tells them on); values that are no class are
    told there and left out.

    Raises
    ------
    ValueError
        If a file cannot be read, the scan is no chest CT in Hounsfield units, or the labels are not of it.
    """
    scan, labels, lung = _read(case)
    return scan, classes_alone(labels), None if lung is None else classes_alone(lung)


def origin_of(case: Case, scan: Volume) -> Origin:
    """Return which scan a case was taken from; ``scan`` is what `read_case` gave of it."""
    if entry := _packed(case):
        return Origin(entry.voxels_sha256, entry.slices_sha256, entry.first)
    return Origin(scan.voxels_sha256, scan.slices_sha256)


def packs_of_unknown_scans(cases: Sequence[Case]) -> tuple[Path, ...]:
    """Return those of the cases' packs that do not say which scans they hold: they were made before packs did."""
    unknown = {case.image.parent.parent for case in cases if (entry := _packed(case)) and not entry.voxels_sha256}
    return tuple(sorted(unknown))


def _each_once(cases: Sequence[Case], tell: Callable[[str], object]) -> list[Case]:
    """Return the cases but for those that are there already, of the same name, patient and contents."""
    alike: dict[tuple[object, ...], list[Case]] = {}
    once, twice = [], []
    for case in cases:
        known = alike.setdefault((case.patient, case.name, case.annotated, case.lung is None), [])
        if any(_are_one(case, other) for other in known):
            twice.append(case.name)
        else:
            known.append(case)
            once.append(case)
    if twice:
        listed = ", ".join(twice[:MOST_NAMED]) + (" …" if len(twice) > MOST_NAMED else "")
        tell(f"{count(len(twice), 'case')} given twice ({listed}), as in a folder and its pack; each counts once.")
    return once


def _are_one(one: Case, other: Case) -> bool:
    """Whether two cases are of one scan and say the same of it, as far as a smaller copy in a pack still tells."""
    (scan, *maps), (other_scan, *other_maps) = read_case(one), read_case(other)
    voxels = origin_of(one, scan).voxels_sha256
    if not voxels or voxels != origin_of(other, other_scan).voxels_sha256:
        return False
    if scan.geometry.shape != other_scan.geometry.shape:
        return True
    said = zip(maps, other_maps, strict=True)
    return one.slices == other.slices and all(np.array_equal(a.values, b.values) for a, b in said if a and b)


def _read(case: Case) -> tuple[Volume, LabelMap, LabelMap | None]:
    if entry := _packed(case):
        pack = case.image.parent.parent
        scan, labels, lung = packs.read_entry(pack, entry)
        labels = known(labels, f"{case.labels.name} in {pack.name}")
        return scan, labels, known(lung, f"{case.name} in {pack.name}") if lung is not None else None
    if case.is_picture:
        scan = _png_slice(case.image)
        return scan, _png_labels(case.labels, scan), _png_labels(case.lung, scan, LUNGS) if case.lung else None
    scan = _scan(case.image)
    labels = reoriented(fitted(read_labels(case.labels), scan))
    lung = reoriented(fitted(read_labels(case.lung, LUNGS), scan)) if case.lung else None
    return reoriented(scan), labels, lung


def _packed(case: Case) -> packs.PackEntry | None:
    """Return what a pack says of a case; None of a case in a folder."""
    pack, member = case.image.parent.parent, case.image.parent.name
    return packs.entry_of(pack, member) if packs.is_pack(pack) else None


def _cases_in(folder: Path, tell: Callable[[str], object]) -> list[Case]:
    if not folder.is_dir():
        raise ValueError(f"There is no folder or training pack {folder}; check the name.")
    found = [(name, *_files(folder, name, endings)) for endings in _ENDINGS for name in _named(folder, endings[0])]
    entries = case_entries(folder)
    require_names(folder, [name for name, *_ in found], entries)
    cases = []
    for name, image, labels, lung in sorted(found, key=lambda each: each[1]):
        if labels.exists():
            entry = entry_of(name, entries)
            require_slices(folder, name, entry)
            patient = entry.patient or folder.resolve().name  # the name of ``.`` is empty
            mask, known = lung if lung.exists() else None, frozenset(entry.annotated)
            stated = bool(entry.patient)
            cases.append(Case(name, image, labels, mask, known, patient, entry.slices, is_patient_stated=stated))
    for sentence in _left_out(folder):
        tell(sentence)
    if not cases:
        raise ValueError(
            f"{folder} holds no case: no *_ct.nii.gz with *_lesion.nii.gz, no *_image.png with *_label.png."
        )
    for sentence in assumed(folder, [case.name for case in cases], entries):
        tell(sentence)
    return cases


def _packed_in(pack: Path) -> list[Case]:
    cases = []
    for entry in packs.entries(pack):
        image, labels, lung = _files(pack / entry.member, entry.name, _ENDINGS[entry.is_picture])
        known = frozenset(entry.annotated)
        cases.append(
            Case(entry.name, image, labels, lung if entry.has_lung else None, known, entry.patient, entry.slices)
        )
    return cases


def _named(folder: Path, ending: str) -> set[str]:
    """Return the names before an ending; a file whose own name begins with a dot is no case, as macOS leaves some."""
    return {path.name[: -len(ending) - 1] for path in folder.glob(f"*_{ending}") if not path.name.startswith(".")}


def _left_out(folder: Path) -> Iterator[str]:
    for image, labels, _ in _ENDINGS:
        for there, missing in ((image, labels), (labels, image)):
            if alone := sorted(_named(folder, there) - _named(folder, missing)):
                listed = ", ".join(alone[:MOST_NAMED]) + (" …" if len(alone) > MOST_NAMED else "")
                which = f"{len(alone)} *_{there} of {folder} without *_{missing}"
                yield f"Left out: {which} ({listed}); add what is missing, if they are meant to count."


def _files(folder: Path, name: str, endings: Sequence[str]) -> tuple[Path, Path, Path]:
    image, labels, lung = (folder / f"{name}_{ending}" for ending in endings)
    return image, labels, lung


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


def _png_labels(path: Path, scan: Volume, scheme: ClassScheme = LESIONS) -> LabelMap:
    labels = known(read_label_picture(path, scheme), path.name)
    (*_, height, width), (*_, rows, columns) = scan.geometry.shape, labels.geometry.shape
    if (rows, columns) != (height, width):
        raise ValueError(
            f"{path.name} is {columns} × {rows} pixels, and the picture that it marks {width} × {height}; "
            "save it with the picture's size."
        )
    return labels
