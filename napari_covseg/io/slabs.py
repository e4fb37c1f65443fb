"""Stored voxels, slab by slab, so that no more than the scan itself is ever in memory."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_covseg.io.hounsfield import MOST_PADDED, aired

Voxels = npt.NDArray[Any]
Shape = tuple[int, int, int]
Slabs = Iterable[tuple[int, Voxels]]
"""The index of a first slice, and the stored voxels from there on, (I, J, few)."""

SLAB_BYTES = 4_000_000
BLOCK_BYTES = 1 << 18
AS_STORED = (1.0, 0.0)
MOST_DEFLATED = 1032
"""No compressed file unpacks to more than this many times its size."""

_ANY_WRAPPER = 32 + zlib.MAX_WBITS
"""zlib finds out by itself whether it reads a zlib or a gzip stream; it checks either's sum."""


def slabs(file: BinaryIO, shape: Shape, dtype: np.dtype[Any], path: Path) -> Iterator[tuple[int, Voxels]]:
    """Yield the voxels that lie in a file from where it stands, the first index fastest.

    Raises
    ------
    ValueError
        If the file (called by the name of `path`) is damaged, or does not end with the last voxel.
    """
    plane_bytes = shape[0] * shape[1] * dtype.itemsize
    planes = max(1, SLAB_BYTES // plane_bytes)
    try:
        for start in range(0, shape[2], planes):
            depth = min(planes, shape[2] - start)
            stored = file.read(depth * plane_bytes)
            if len(stored) < depth * plane_bytes:
                raise damaged(path)
            yield start, np.frombuffer(stored, dtype=dtype).reshape((*shape[:2], depth), order="F")
        if file.read(1):
            raise _too_long(path)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path) from error


def from_text(file: BinaryIO, shape: Shape, dtype: np.dtype[Any], path: Path) -> Iterator[tuple[int, Voxels]]:
    """Yield the voxels that are written as numbers from where a file stands, the first index fastest.

    Raises
    ------
    ValueError
        If one is no number of that type, or there are fewer or more.
    """
    count = shape[0] * shape[1]
    for start in range(shape[2]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)  # what older NumPy says of words that are no numbers
                found = np.fromfile(file, np.float64, count, sep=" ")
        except (ValueError, OSError, DeprecationWarning) as error:
            raise damaged(path) from error
        if found.size < count:
            raise damaged(path)
        with np.errstate(invalid="ignore"):
            stored = found.astype(dtype)
        if dtype.kind in "iu" and not np.array_equal(stored, found):
            raise ValueError(f"{path.name} holds numbers that are not of the type it states; export it again.")
        yield start, stored.reshape((*shape[:2], 1), order="F")
    if file.read().strip():
        raise _too_long(path)


def skipped(file: BinaryIO, count: int, path: Path) -> None:
    """Pass over so many bytes of a file that cannot be wound.

    Raises
    ------
    ValueError
        If it has fewer, or is damaged.
    """
    try:
        while count > 0 and (passed := len(file.read(min(count, BLOCK_BYTES)))):
            count -= passed
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path) from error
    if count > 0:
        raise damaged(path)


def hounsfield(
    stored: Slabs, shape: Shape, dtype: np.dtype[Any], scale: tuple[float, float], name: str
) -> tuple[Voxels, int]:
    """Return voxels × scale[0] + scale[1] in Fortran order, and how many had no number and became air.

    They are int16 where every number of the stored `dtype` is one and none is scaled, or float32.

    Raises
    ------
    ValueError
        If a voxel within the scan has no number, or too many outside have none.
    """
    hu: Voxels = np.empty(shape, dtype=hounsfield_type(dtype, scale), order="F")
    missing = 0
    for start, slab in stored:
        part = hu[..., start : start + slab.shape[2]]
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and is refused as such
            part[...] = slab
        if scale != AS_STORED:
            part *= np.float32(scale[0])
            part += np.float32(scale[1])
        if hu.dtype.kind == "f" and np.isnan(part).any():
            missing += sum(aired(plane.T, name) for plane in part.transpose(2, 0, 1))
    if missing > MOST_PADDED * hu.size:
        raise ValueError(
            f"{name} has no number in {100 * missing / hu.size:.0f} % of its voxels, which leaves too little of a "
            "scan; convert it again."
        )
    return hu, missing


def hounsfield_type(stored: np.dtype[Any], scale: tuple[float, float]) -> np.dtype[Any]:
    """Return the type that Hounsfield units get."""
    return np.dtype(np.int16 if np.can_cast(stored, np.int16) and scale == AS_STORED else np.float32)


def as_stored(stored: Slabs, shape: Shape, dtype: np.dtype[Any]) -> Voxels:
    """Return the voxels in Fortran order, of the stored type."""
    values: Voxels = np.empty(shape, dtype=dtype.newbyteorder("="), order="F")
    for start, slab in stored:
        values[..., start : start + slab.shape[2]] = slab
    return values


def damaged(path: Path) -> ValueError:
    """Return the error of a file that is not whole."""
    return ValueError(f"{path.name} ends before its last voxel or is damaged; copy or export it again.")


def _too_long(path: Path) -> ValueError:
    return ValueError(
        f"{path.name} goes on after its last voxel: it or its header is damaged; copy or export it again."
    )


class Inflated(io.RawIOBase):
    """What a zlib or gzip stream unpacks to, from where a file stands; its checksums are looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._packed, self._stream = file, b"", zlib.decompressobj(_ANY_WRAPPER)

    def readable(self) -> bool:
        """Whether it can be read: it can."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how many bytes there were, 0 after the last.

        Raises
        ------
        EOFError, zlib.error
            If the stream is cut or damaged.
        """
        while True:
            if self._stream.eof:
                self._packed = self._stream.unused_data or self._file.read(BLOCK_BYTES)
                if not self._packed:
                    return 0
                self._stream = zlib.decompressobj(_ANY_WRAPPER)  # another stream follows the first
            packed = self._packed or self._stream.unconsumed_tail or self._file.read(BLOCK_BYTES)
            self._packed = b""
            if not packed:
                raise EOFError
            if unpacked := self._stream.decompress(packed, len(buffer)):
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)
