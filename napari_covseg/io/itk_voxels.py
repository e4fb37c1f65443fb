"""The voxels of an NRRD or MetaImage file: which files they lie in, from which byte on, and how they are coded.

ITK reads none of them: it fills up what a list of files leaves open, and leaves out what lies behind the last voxel.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt

from napari_covseg.io import slabs
from napari_covseg.io.itk_header import Header, is_true
from napari_covseg.io.itk_members import files_of

Voxels = npt.NDArray[Any]
Coding = Literal["raw", "gzip", "text"]

FROM_THE_END = -1
"""What NRRD and MetaImage call a skip that leaves as many bytes as the voxels take."""

ENCODED: Mapping[str, Coding] = {
    **dict.fromkeys(("gzip", "gz"), "gzip"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "raw": "raw",
}
TRUTHS = ("T", "t", "1", "F", "f", "0")
"""The first letters by which MetaIO knows true from false."""

MOST_IN_A_LETTER = 5
"""No text stands for more bytes a letter: a number of eight takes two letters at least, but for the last."""


@dataclass(frozen=True, slots=True)
class VoxelFiles:
    """The files the voxels lie in, each with as many slices; each begins `lines` and `skip` bytes after `start`.

    What is skipped of a packed file are unpacked bytes.
    """

    files: tuple[Path, ...]
    start: int
    lines: int
    skip: int
    coding: Coding
    is_big_endian: bool

    def too_short(self, stored_bytes: int) -> Path | None:
        """Return the first file that cannot hold its share of so many bytes of voxels, going by its size."""
        most = {"gzip": slabs.MOST_DEFLATED, "text": MOST_IN_A_LETTER}.get(self.coding, 1)
        share = stored_bytes / len(self.files)
        return next((file for file in self.files if share > most * (file.stat().st_size - self.start)), None)


def voxel_files(path: Path, header: Header) -> VoxelFiles:
    """Return where the voxels lie.

    Raises
    ------
    ValueError
        If a file that holds them is not there, there are too few or too many, or they are coded as nobody here knows.
    RuntimeError
        If the header says it in a way that makes no sense.
    """
    files = files_of(path, header)
    is_inside = files == (path,)
    coding = _coding(path.name, header)
    lines, skip = (_skip(header, name) for name in ("lineskip", "byteskip"))
    head = _skip(header, "HeaderSize")
    if lines < 0 or (skip == FROM_THE_END and coding != "raw") or (head == FROM_THE_END and coding != "raw"):
        raise RuntimeError("nobody knows how far to skip")
    if head == FROM_THE_END:
        head, skip = 0, FROM_THE_END
    return VoxelFiles(files, head or (header.end if is_inside else 0), lines, skip, coding, _is_big_endian(header))


def stored_slabs(place: VoxelFiles, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Iterator[tuple[int, Voxels]]:
    """Yield the stored voxels of a grid, slab by slab, the first index fastest.

    Raises
    ------
    ValueError
        If a file does not end with its last voxel.
    """
    depth = shape[2] // len(place.files)
    part, stored = (*shape[:2], depth), dtype.newbyteorder(">" if place.is_big_endian else "<")
    for number, file in enumerate(place.files):
        with _from_first_voxel(place, file, shape[0] * shape[1] * depth * dtype.itemsize) as stream:
            if place.coding == "text":
                found = slabs.from_text(stream, part, dtype, file)
            else:
                found = slabs.slabs(stream, part, stored, file)
            yield from ((number * depth + index, slab) for index, slab in found)


@contextmanager
def _from_first_voxel(place: VoxelFiles, file: Path, stored_bytes: int) -> Iterator[BinaryIO]:
    with file.open("rb") as stream:
        stream.seek(place.start)
        if not all(stream.readline(slabs.BLOCK_BYTES).endswith(b"\n") for _ in range(place.lines)):
            raise slabs.damaged(file)
        if place.coding == "gzip":
            unpacked = cast(BinaryIO, io.BufferedReader(slabs.Inflated(stream), slabs.BLOCK_BYTES))
            slabs.skipped(unpacked, place.skip, file)
            yield unpacked
            return
        if place.skip == FROM_THE_END:
            stream.seek(max(0, file.stat().st_size - stored_bytes))
        else:
            stream.seek(place.skip, os.SEEK_CUR)
        yield stream


def _skip(header: Header, name: str) -> int:
    skip = int(header.fields.get(name, "0")) if _is_number(header.fields.get(name, "0")) else None
    if skip is None or skip < FROM_THE_END:
        raise RuntimeError(f"{name} is no number of things to skip")
    return skip


def _is_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdecimal()


def _coding(name: str, header: Header) -> Coding:
    if header.kind == "NRRD":
        said = header.fields["encoding"]
        if said.lower() not in ENCODED:
            raise ValueError(f"{name} is packed as {said}, which cannot be read here; save it with gzip.")
        return ENCODED[said.lower()]
    if any(header.fields.get(field, "T")[:1] not in TRUTHS for field in ("BinaryData", "CompressedData")):
        raise RuntimeError("MetaIO would print that it cannot read the voxels")
    if not is_true(header.fields.get("BinaryData", "T")):
        return "text"
    return "gzip" if is_true(header.fields.get("CompressedData", "")) else "raw"


def _is_big_endian(header: Header) -> bool:
    if header.kind == "NRRD":
        return header.fields.get("endian", "little").lower() == "big"
    return is_true(header.first("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
