"""The DICOM files of a folder, of what lies within it, or of a zipped one."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

import pydicom
from pydicom.errors import InvalidDicomError

from napari_covseg.io.dicom_tags import TAGS, Frame, Head, Image, image_of
from napari_covseg.io.files import locked, stem_of
from napari_covseg.io.memory import require_memory

AMONG_ALIKE = "#"
"""Between the UID and the number of a series where several have the same."""

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The images of one DICOM series, in the order of file names; `is_apart` if each is a study of its own."""

    uid: str
    modality: str
    description: str
    frames: tuple[Frame, ...]
    is_apart: bool


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What lies at a path: its series in the order of file names, and the files that hold no image."""

    series: tuple[Series, ...]
    passed_over: tuple[str, ...]


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
    for file in _files(path):
        head = _head(file)
        image = _image(file, head) if head is not None else None
        if image is not None:
            images.append(image)
        elif head is not None:
            reports.append(file)
        else:
            strangers.append(file)
    if not images:
        raise ValueError(f"{stem_of(path)} holds no DICOM slices; choose the folder of one CT series.")
    _refuse_damaged(strangers, images)
    return Found(tuple(_split(images)), tuple(file.name for file in [*strangers, *reports]))


def stream_of(file: Traversable) -> BinaryIO:
    """Open a file, or the bytes of a member of a zipped folder."""
    return file.open("rb") if isinstance(file, Path) else io.BytesIO(file.read_bytes())


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
        by_uid.setdefault(image.series_uid, {}).setdefault((image.owner, *told), []).append(image)
    for uid, by_owner in by_uid.items():
        for number, each in enumerate(by_owner.values(), start=1):
            yield _series(uid if number == 1 else f"{uid}{AMONG_ALIKE}{number}", each, is_apart)


def _series(uid: str, images: list[Image], is_apart: bool) -> Series:
    foreign = sorted({image.modality or "unknown" for image in images} - {"CT"})
    frames = tuple(frame for image in images for frame in image.frames)
    return Series(uid, foreign[0] if foreign else "CT", images[0].description, frames, is_apart)


def _files(path: Path) -> Iterator[Traversable]:
    if path.is_dir():
        yield from _within(path)
    elif not path.exists():
        raise ValueError(f"There is no folder {path}; check the name.")
    elif path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        yield from _zipped(path)
    else:
        yield path


def _within(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise locked(error.filename) from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if _counts(name))


def _zipped(path: Path) -> Iterator[Traversable]:
    try:
        archive = zipfile.ZipFile(path)  # closed with the last file that is read from it
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path.name} is a damaged zip file; copy or export it again.") from error
    members = sorted((each for each in archive.infolist() if not each.is_dir()), key=lambda each: each.filename)
    members = [each for each in members if _counts(Path(each.filename).name)]
    require_memory(path.name, max((each.file_size for each in members), default=0), 1)
    yield from (zipfile.Path(archive, each.filename) for each in members)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.upper() != "DICOMDIR"


def _head(file: Traversable) -> Head | None:
    """Return the head of a file, None if it is no DICOM."""
    try:
        if isinstance(file, Path) and not S_ISREG(file.stat().st_mode):
            return None  # reading from a pipe or a device need not end
        with stream_of(file) as stream:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=[*TAGS])
            place = stream.tell()
            return Head(header, place, stream.read(12))
    except InvalidDicomError:
        return None
    except PermissionError as error:
        raise locked(file) from error
    except Exception as error:  # pydicom fails with whatever a damaged byte leads it to
        needs_password = "password" in str(error)
        remedy = "unpack it with its password first" if needs_password else "copy or export it again"
        raise ValueError(f"{file.name} cannot be read as DICOM; {remedy}.") from error


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
