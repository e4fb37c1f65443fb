"""Which format a path is of, from its name or from the first bytes of its files."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from napari_covseg.io.files import ITK_SUFFIXES, NIFTI_SUFFIXES, PICTURE_SUFFIXES

Format = Literal["NIfTI", "DICOM", "NRRD", "MetaImage", "PNG", "JPEG"]

KNOWN = "NIfTI (.nii, .nii.gz), NRRD, MetaImage, DICOM (a folder, zipped or not), PNG or JPEG"
DICOM_MAGIC = (128, b"DICM")
"""Offset and bytes that every DICOM file on disk carries."""

PAIRS = (".hdr", ".img", ".hdr.gz", ".img.gz")
"""How the two files end in which NIfTI and Analyze can keep a scan, and which `io` does not read."""

PREAMBLE_LOST = "is DICOM that lost the 132 bytes it begins with, so that no program knows it; export the series again"
GROUPS = (b"\x02\x00", b"\x08\x00")
"""With these a DICOM file without its preamble begins."""

KIND_OF_VALUE = b"UL", b"UI", b"CS", b"DA", b"OB"

UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What is raised where a member of a zip cannot be read."""

MOST_FILES_LOOKED_AT = 1000
_BY_SUFFIX: dict[str, Format] = {**ITK_SUFFIXES, **PICTURE_SUFFIXES}  # type: ignore[dict-item]


def format_of(path: Path) -> Format | None:
    """Return what a path looks like; None if it is nothing known.

    Raises
    ------
    OSError
        If a folder may not be read.
    """
    if path.is_dir():
        return _format_of_folder(path)
    if path.exists() and not path.is_file():
        return None  # reading from a pipe or a device need not end
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return "NIfTI"
    if known := _BY_SUFFIX.get(path.suffix.lower()):
        return known
    return "DICOM" if name.endswith(".dcm") or is_dicom(path) or _is_zipped_dicom(path) else None


def folders_in(folder: Path, refuse: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, by name, into folders that are linked there too, and into none twice.

    A link to a folder that holds this one leads nowhere new. What cannot be read is given to `refuse`.
    """
    seen = {os.path.realpath(each) for each in (folder, *folder.resolve().parents)}
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        new: dict[str, str] = {}
        for name in sorted(folders, key=lambda name: (name.startswith("."), name)):  # hidden ones lead nowhere further
            new.setdefault(os.path.realpath(os.path.join(place, name)), name)
        folders[:] = [name for real, name in new.items() if real not in seen]
        seen |= new.keys()
        yield place, folders, sorted(names)


def is_dicom(file: Path) -> bool:
    """Whether a file carries the mark of DICOM.

    Raises
    ------
    PermissionError
        If it may not be read.
    """
    offset, magic = DICOM_MAGIC
    try:
        if not S_ISREG(file.stat().st_mode):
            return False  # reading from a pipe or a device need not end
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(len(magic)) == magic
    except PermissionError:
        raise
    except OSError:
        return False


def lacks_preamble(path: Path) -> bool:
    """Whether a file, or the first of a folder, begins as DICOM goes on after its preamble."""
    with suppress(OSError):
        file = next(_files_in(path), path) if path.is_dir() else path
        if S_ISREG(file.stat().st_mode):
            with file.open("rb") as stream:
                head = stream.read(6)
            return head[:2] in GROUPS and head[4:] in KIND_OF_VALUE
    return False


def _format_of_folder(folder: Path) -> Format | None:
    pictures: Format | None = None
    for file in islice(_files_in(folder), MOST_FILES_LOOKED_AT):
        if is_dicom(file):
            return "DICOM"
        if file.parent == folder and file.suffix.lower() in PICTURE_SUFFIXES:
            pictures = pictures or _BY_SUFFIX[file.suffix.lower()]
    return pictures


def _files_in(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in folders_in(folder, refuse):
        yield from (Path(place, name) for name in names)


def _is_zipped_dicom(path: Path) -> bool:
    offset, magic = DICOM_MAGIC
    try:
        with zipfile.ZipFile(path) as archive:
            for name in islice(archive.namelist(), MOST_FILES_LOOKED_AT):
                with archive.open(name) as stream:
                    if stream.read(offset + len(magic))[offset:] == magic:
                        return True
    except UNREADABLE:
        return path.suffix.lower() == ".zip" and path.is_file()
    return False
