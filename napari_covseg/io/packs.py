"""Training packs: many annotated cases in one ``.npz`` file, to be read without the scans and their formats.

A pack holds, per case, grey in `PACK_HU` in 256 steps, lesion labels, the lung where there is a mask, and in its index
what ``cases.json`` says and where the voxels are in the patient. It names no folder and no machine. Its members are
compressed as bzip2, which `numpy.load` reads and which is a sixth smaller than deflate on noisy tissue.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from napari_covseg.volume import LUNGS, Geometry, LabelMap, Volume

SUFFIX = ".npz"
FORMAT = "covseg pack 1"

PACK_HU = (-1000.0, 1000.0)
"""What grey 0 … 255 stands for: the widest window of the five papers, in steps of 8 HU, well below a scan's noise."""

Voxels = npt.NDArray[np.uint8]
Row = tuple[float, float, float, float]


class PackEntry(BaseModel):
    """What a pack's index says of one case; ``member`` is the folder of its arrays within the file.

    ``voxels_sha256`` is the fingerprint of the scan that it was taken from (`Volume.voxels_sha256`), as that was before
    it was packed, and ``slices_sha256`` are those of its slices; both are empty in packs made before there were any.
    ``first`` is the index there of its first slice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    member: str
    name: str
    is_picture: bool
    annotated: tuple[str, ...]
    patient: str
    slices: tuple[int, ...] | None
    has_lung: bool
    affine: tuple[Row, Row, Row, Row]
    voxels_sha256: str = ""
    slices_sha256: tuple[str, ...] = ()
    first: int = 0


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: str
    cases: tuple[PackEntry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PackedCase:
    """The voxels of one case in reading order, each (D, H, W) uint8, and what the index is to say of it."""

    entry: PackEntry
    grey: Voxels
    labels: Voxels
    lung: Voxels | None


def is_pack(path: Path) -> bool:
    """Whether a path names a pack rather than a folder."""
    return path.suffix == SUFFIX and path.is_file()


def grey_of(volume: Volume) -> Voxels:
    """Return Hounsfield units in `PACK_HU` as 256 steps of grey."""
    low_hu, high_hu = PACK_HU
    shown = (volume.hu.astype(np.float32) - low_hu) / (high_hu - low_hu)
    grey: Voxels = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return grey


def entries(pack: Path) -> tuple[PackEntry, ...]:
    """Return what a pack's index says of its cases, in order.

    Raises
    ------
    ValueError
        If it is not one of our packs.
    """
    try:
        with np.load(pack, allow_pickle=False) as members:
            index = TypeAdapter(_Index).validate_json(members["index"].tobytes())
        if index.format != FORMAT:
            raise ValueError(index.format)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, ValidationError) as error:
        raise _damaged(pack) from error
    return index.cases


def entry_of(pack: Path, member: str) -> PackEntry:
    """Return what a pack says of one member.

    Raises
    ------
    ValueError
        If it is no pack, or has no such member.
    """
    stat = pack.stat()
    found = _by_member(pack, stat.st_mtime_ns, stat.st_size).get(member)
    if found is None:
        raise _damaged(pack)
    return found


def read_entry(pack: Path, entry: PackEntry) -> tuple[Volume, LabelMap, LabelMap | None]:
    """Return scan, lesion labels and, where there is one, lung mask of one case of a pack, in reading order.

    Raises
    ------
    ValueError
        If its arrays are missing or damaged.
    """
    low_hu, high_hu = PACK_HU
    try:
        with np.load(pack, allow_pickle=False) as members:
            grey, labels = (members[f"{entry.member}/{part}"] for part in ("grey", "labels"))
            lung = members[f"{entry.member}/lung"] if entry.has_lung else None
        geometry = Geometry(grey.shape, np.array(entry.affine))
        hu = grey * np.float32((high_hu - low_hu) / 255) + np.float32(low_hu)
        scan = Volume(hu, geometry, entry.name if entry.is_picture else f"{entry.name}_ct")
        return scan, LabelMap(labels, geometry), None if lung is None else LabelMap(lung, geometry, LUNGS)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(pack) from error


def checksums(pack: Path, member: str) -> Sequence[tuple[str, int, int]]:
    """Return what a pack's list of contents says of one member's arrays: part, checksum and bytes; nothing is unpacked.

    Raises
    ------
    ValueError
        If it is no pack.
    """
    stat = pack.stat()
    return _checksums(pack, stat.st_mtime_ns, stat.st_size).get(member, [])


class PackWriter:
    """A pack in the making; the same cases always give the same bytes.

    Parameters
    ----------
    draft
        The file to write.
    """

    def __init__(self, draft: Path) -> None:
        self._archive = zipfile.ZipFile(draft, "w", zipfile.ZIP_BZIP2)
        self._entries: list[PackEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        index = {"format": FORMAT, "cases": [entry.model_dump(mode="json") for entry in self._entries]}
        self._member("index", np.frombuffer(json.dumps(index).encode(), dtype=np.uint8))
        self._archive.close()

    def add(self, case: PackedCase) -> int:
        """Write one case and return how many bytes it takes."""
        self._entries.append(case.entry)
        parts = {"grey": case.grey, "labels": case.labels, "lung": case.lung}
        return sum(
            self._member(f"{case.entry.member}/{name}", part) for name, part in parts.items() if part is not None
        )

    def _member(self, name: str, array: Voxels) -> int:
        info = zipfile.ZipInfo(f"{name}.npy")
        info.compress_type = zipfile.ZIP_BZIP2
        buffer = BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        self._archive.writestr(info, buffer.getbuffer())
        return info.compress_size


def checked(pack: Path) -> Sequence[PackEntry]:
    """Read a pack back, every voxel of it, and return its index.

    Raises
    ------
    ValueError
        If anything in it cannot be read.
    """
    found = entries(pack)
    for entry in found:
        read_entry(pack, entry)
    return found


@lru_cache(maxsize=4)
def _by_member(pack: Path, _modified_ns: int, _size: int) -> dict[str, PackEntry]:
    return {entry.member: entry for entry in entries(pack)}


@lru_cache(maxsize=4)
def _checksums(pack: Path, _modified_ns: int, _size: int) -> dict[str, list[tuple[str, int, int]]]:
    found: dict[str, list[tuple[str, int, int]]] = {}
    try:
        with zipfile.ZipFile(pack) as archive:
            for info in archive.infolist():
                member, _, part = info.filename.partition("/")
                found.setdefault(member, []).append((part, info.CRC, info.file_size))
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(pack) from error
    return found


def _damaged(pack: Path) -> ValueError:
    return ValueError(f"{pack.name} is not a training pack, or it is damaged; make it again with 'covseg pack'.")
