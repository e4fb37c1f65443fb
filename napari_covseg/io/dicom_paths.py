"""Where the files of a DICOM series lie: in a folder, in those within it, linked ones too, or in a zipped one."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import BinaryIO, cast

from napari_covseg.io.files import locked
from napari_covseg.io.formats import DICOM_MAGIC, UNREADABLE, folders_in, is_dicom
from napari_covseg.io.memory import require_memory

OF_SYSTEMS = ("._", ".DS_Store")
"""How macOS begins the names of what it leaves in folders and zips."""

LOOKED_AT = 20
"""So many files of a hidden folder are asked whether they are DICOM."""

COPIES = 2
"""How often a member of a zip is in memory while its pixels are read: as a file, and as pixels."""

MOST_BESIDE = 64 << 20
"""No header, and nothing behind the pixels, takes more bytes."""

BLOCK_BYTES = MB = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The files that may be slices, in the order of their names, and the names of hidden DICOM files and folders."""

    files: Sequence[Traversable]
    hidden: tuple[str, ...]


def files_at(path: Path) -> Listed:
    """Return what lies in a folder or a zipped folder; a file alone.

    Raises
    ------
    ValueError
        If nothing is there, or it cannot be read.
    """
    if path.is_dir():
        return _within(path)
    if not path.exists():
        raise ValueError(f"There is no folder {path}; check the name.")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return _zipped(path)
    return Listed([path], ())


def stream_of(file: Traversable) -> BinaryIO:
    """Open a file, or the bytes of a member of a zipped folder, whose checksum is looked at."""
    if not isinstance(file, zipfile.Path):
        return cast(BinaryIO, file.open("rb"))
    unpacked = io.BytesIO(bytes(_size(file)))
    with file.open("rb") as stream, unpacked.getbuffer() as room:  # `read` alone would take three times its size
        at = 0
        while block := stream.read(BLOCK_BYTES):
            room[at : at + len(block)] = block
            at += len(block)
    return unpacked


def refuse_inflated(member: zipfile.Path, described_bytes: int) -> None:
    """Refuse a member of a zipped folder that unpacks to far more than its header describes."""
    size = _size(member)
    if size > COPIES * described_bytes + MOST_BESIDE:
        raise ValueError(
            f"{member.name} unpacks to {size / MB:.0f} MB, far beyond the {described_bytes / MB:.2f} MB of its image: "
            "it is damaged, or made to fill the memory; zip the series again."
        )


def read_to_end(member: zipfile.Path) -> None:
    """Look at the checksum of a member of a zipped folder.

    Raises
    ------
    zipfile.BadZipFile
        If it is not that of the member.
    """
    with member.open("rb") as stream:
        while stream.read(BLOCK_BYTES):
            pass


def _size(member: zipfile.Path) -> int:
    return member.root.getinfo(member.at).file_size


def _within(folder: Path) -> Listed:
    files: list[Path] = []
    hidden: list[str] = []

    def refuse(error: OSError) -> None:
        raise locked(error.filename) from error

    for place, folders, names in folders_in(folder, refuse):
        hidden += [name for name in folders if _is_hidden(name) and _holds_dicom(Path(place, name))]
        folders[:] = [name for name in folders if not name.startswith(".")]
        hidden += [name for name in names if _is_hidden(name) and _is_readable_dicom(Path(place, name))]
        files += [Path(place, name) for name in names if _counts(name)]
    return Listed(files, tuple(hidden))


def _zipped(path: Path) -> Listed:
    try:
        archive = zipfile.ZipFile(path)  # closed with the last file that is read from it
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path.name} is a damaged zip file; copy or export it again.") from error
    members = sorted((each for each in archive.infolist() if not each.is_dir()), key=lambda each: each.filename)
    counting = [each for each in members if _counts(Path(each.filename).name)]
    if twice := [name for name, times in Counter(each.filename for each in counting).items() if times > 1]:
        raise ValueError(
            f"{path.name} holds several files under one name ({Path(twice[0]).name}), and only one of them can be had; "
            "zip the series again with a name for each slice."
        )
    require_memory(path.name, max((each.file_size for each in counting), default=0), COPIES)
    found = {each.filename: zipfile.Path(archive, each.filename) for each in members}
    hidden = [file.name for file in found.values() if _is_hidden(file.name) and _is_readable_dicom(file)]
    return Listed([found[each.filename] for each in counting], tuple(hidden))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.upper() != "DICOMDIR"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and not name.startswith(OF_SYSTEMS)


def _is_readable_dicom(file: Path | zipfile.Path) -> bool:
    offset, magic = DICOM_MAGIC
    with suppress(*UNREADABLE):
        if isinstance(file, Path):
            return is_dicom(file)
        with file.open("rb") as stream:
            return bool(stream.read(offset + len(magic))[offset:] == magic)
    return False


def _holds_dicom(folder: Path) -> bool:
    with suppress(OSError):
        return any(is_dicom(file) for file in sorted(folder.iterdir())[:LOOKED_AT])
    return False
