"""The series that the DICOM files of a path make."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from napari_covseg.io.dicom_paths import files_at, read_to_end, refuse_inflated
from napari_covseg.io.dicom_tags import TAGS, Frame, Head, Image, image_of, pixel_bytes
from napari_covseg.io.files import locked, stem_of
from napari_covseg.io.formats import PREAMBLE_LOST, lacks_preamble

AMONG_ALIKE = "#"
"""Between the UID and the number of a series where several have the same."""

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The images of one DICOM series, in the order of file names; `is_apart` if each is a study of its own.

    `owner` is a hash of the patient's number, empty where there is none.
    """

    uid: str
    modality: str
    description: str
    frames: tuple[Frame, ...]
    is_apart: bool
    owner: str


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What lies at a path: its series in the order of file names, the files that hold no image, and hidden DICOM."""

    series: tuple[Series, ...]
    passed_over: tuple[str, ...]
    hidden: tuple[str, ...]


def found_in(path: Path) -> Found:
    """Return the series of images in a folder, a zipped folder, or one file.

    Raises
    ------
    ValueError
        If nothing is there, or a file among them cannot be read.
    """
    images: list[Image] = []
    reports: list[Traversable] = []
    strangers: list[Traversable] = []
    listed = files_at(path)
    for file in listed.files:
        head = _head(file)
        image = _image(file, head) if head is not None else None
        if image is not None:
            images.append(image)
        elif head is not None:
            reports.append(file)
        else:
            strangers.append(file)
    if not images:
        if lacks_preamble(path):
            raise ValueError(f"{path.name} {PREAMBLE_LOST}.")
        raise ValueError(f"{stem_of(path)} holds no DICOM slices; choose the folder of one CT series.")
    _refuse_damaged(strangers, images)
    passed_over = tuple(file.name for file in [*strangers, *reports])
    return Found(tuple(_split(images)), passed_over, listed.hidden)


def _split(images: list[Image]) -> Iterator[Series]:
    """Yield the series; images under one UID that are of several patients, studies or frames of reference are several.

    From the second on these are called by the UID and a number. Where each image has a study or a frame of
    reference of its own, a converter made them up, and they tell nothing.
    """
    by_uid: dict[str, dict[tuple[Any, ...], list[Image]]] = {}
    is_made_up = [len(set(uids)) == len(images) > 1 for uids in zip(*(image.groups for image in images), strict=True)]
    is_apart = any(is_made_up)
    for image in images:
        told = ("" if made_up else uid for uid, made_up in zip(image.groups, is_made_up, strict=True))
        by_uid.setdefault(image.series_uid, {}).setdefault(
            (image.owner, "" if image.series_uid else image.description, *told), []
        ).append(image)
    for uid, by_owner in by_uid.items():
        for number, each in enumerate(by_owner.values(), start=1):
            yield _series(uid if number == 1 else f"{uid}{AMONG_ALIKE}{number}", each, is_apart)


def _series(uid: str, images: list[Image], is_apart: bool) -> Series:
    foreign = sorted({image.modality or "unknown" for image in images} - {"CT"})
    frames = tuple(frame for image in images for frame in image.frames)
    return Series(uid, foreign[0] if foreign else "CT", images[0].description, frames, is_apart, images[0].owner)


def _head(file: Traversable) -> Head | None:
    """Return the head of a file, None if it is no DICOM."""
    try:
        if isinstance(file, Path) and not S_ISREG(file.stat().st_mode):
            return None  # reading from a pipe or a device need not end
        head = _parsed(file)
        if isinstance(file, zipfile.Path):
            if head is not None:
                refuse_inflated(file, head.place + pixel_bytes(head.header))
            read_to_end(file)
        return head
    except PermissionError as error:
        raise locked(file) from error
    except Exception as error:  # pydicom fails with whatever a damaged byte leads it to
        raise _unread(file, error) from error


def _parsed(file: Traversable) -> Head | None:
    try:
        with file.open("rb") as stream:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=[*TAGS])
            place = stream.tell()
            return Head(header, place, stream.read(12))
    except InvalidDicomError:
        return None


def _unread(file: Traversable, error: Exception) -> ValueError:
    if isinstance(error, ValueError) and str(error).startswith(file.name):
        return error
    if isinstance(file, Path) and file.is_symlink() and not os.path.exists(file):
        return ValueError(
            f"{file.name} is a broken link: what it leads to is not there; copy the files themselves, or remove it."
        )
    needs_password = "password" in str(error)
    remedy = "unpack it with its password first" if needs_password else "copy or export it again"
    return ValueError(f"{file.name} cannot be read as DICOM; {remedy}.")


def _image(file: Traversable, head: Head) -> Image | None:
    try:
        return image_of(file, head)
    except ValueError as error:
        if file.name in str(error):
            raise
        raise _garbled(file) from error
    except Exception as error:  # values are parsed when they are asked for
        raise _garbled(file) from error


def _garbled(file: Traversable) -> ValueError:
    return ValueError(f"{file.name} is damaged: its header cannot be understood; copy or export it again.")


def _refuse_damaged(strangers: list[Traversable], images: list[Image]) -> None:
    """Refuse files that are no DICOM but look as if they had been: a lost slice at an end would go unnoticed."""
    suffixes = {Path(image.frames[0].file.name).suffix.lower() for image in images} | set(DICOM_SUFFIXES)
    for file in strangers:
        suffix = Path(file.name).suffix.lower()
        if suffix and suffix in suffixes and not suffix[1:].isdigit():
            raise ValueError(f"{file.name} is damaged: it is no DICOM file any more; copy or export it again.")
