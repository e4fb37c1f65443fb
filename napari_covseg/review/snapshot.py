"""The label map as it stood after a row of the journal, in a file of its own.

A snapshot and the journal vouch for each other: whichever of the two is cut or damaged, the other still knows the
label map. Two generations are kept.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from napari_covseg.io import written
from napari_covseg.review.correction import Labels, box_in_plane

PREFIX = "labels-"
Drawn = Mapping[int, Mapping[int, bytes]]

_BOX = struct.Struct("<4I")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stood after row `seq`.

    Parameters
    ----------
    seq, head
        The last row that is in it, and that row's hash in hexadecimal; 0 and empty before the first.
    about
        What the journal says about itself: scan, grid.
    standing
        Marks and signatures, as a recovery row tells them.
    planes
        One packed slice after the other; see `packed`.
    drawn
        Packed slices as networks left them, by index and row of the log; see `Standing.drawn`.
    rows
        Number and hash of earlier rows, which tell whose log it is where that does not reach up to `seq`; none in
        those of earlier versions.
    """

    seq: int
    head: str
    about: Mapping[str, Any]
    standing: Mapping[str, Any]
    planes: tuple[bytes, ...]
    drawn: Drawn = field(default_factory=dict)
    rows: tuple[tuple[int, str], ...] = ()

    @property
    def name(self) -> str:
        """What its file is called."""
        return _name_of(self.seq)

    def label_map(self) -> Labels:
        """Return the labels (D, H, W)."""
        shape = tuple(self.standing["shape"])
        values: Labels = np.zeros(shape, dtype=np.uint8)
        for plane, content in zip(values, self.planes, strict=True):
            unpack(content, plane)
        return values


def packed(plane: Labels) -> bytes:
    """Return a slice (H, W), compressed: the box that holds all its labels, and where it is."""
    rows, columns = box_in_plane(plane)
    if not rows.stop:
        return b""
    place = _BOX.pack(rows.start, rows.stop, columns.start, columns.stop)
    return place + zlib.compress(plane[rows, columns].tobytes(), level=1)


def unpack(content: bytes, plane: Labels) -> None:
    """Write a packed slice into an empty one."""
    if content:
        top, bottom, left, right = _BOX.unpack_from(content)
        voxels = np.frombuffer(zlib.decompress(content[_BOX.size :]), dtype=np.uint8)
        plane[top:bottom, left:right] = voxels.reshape(bottom - top, right - left)


def keep(snapshot: Snapshot, folder: Path, previous: int) -> None:
    """Write a snapshot, whole or not at all, and let go of all others but one.

    Parameters
    ----------
    snapshot
        What to write.
    folder
        The session's folder.
    previous
        The row of the one that is known to be whole; it stays.

    Raises
    ------
    OSError
        If it could not be written; the earlier ones are then kept.
    """
    drawn = [(index, seq, plane) for index, each in snapshot.drawn.items() for seq, plane in each.items()]
    told = {
        "seq": snapshot.seq,
        "head": snapshot.head,
        "about": snapshot.about,
        "standing": snapshot.standing,
        "drawn": [(index, seq) for index, seq, _ in drawn],
        "rows": snapshot.rows,
    }
    every = (*snapshot.planes, *(plane for *_, plane in drawn))
    lengths = np.array([len(plane) for plane in every], dtype=np.int64)
    planes = np.frombuffer(b"".join(every), dtype=np.uint8)
    with written(folder / snapshot.name) as draft:
        np.savez(draft, told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8), lengths=lengths, planes=planes)
    for old in set(_files(folder)) - {folder / snapshot.name, folder / _name_of(previous)}:
        with suppress(OSError):
            old.unlink()


def kept(folder: Path) -> Iterator[Snapshot]:
    """Yield the snapshots that are in a folder and whole, the newest first."""
    for file in _files(folder):
        with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            yield _read(file)


def _name_of(seq: int) -> str:
    return f"{PREFIX}{seq:08d}.npz"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*.npz"), reverse=True)


def _read(file: Path) -> Snapshot:
    """Read a file; its zip checksums say whether it is whole."""
    with np.load(file, allow_pickle=False) as content:
        told = json.loads(content["told"].tobytes())
        ends = np.cumsum(content["lengths"]).tolist()
        planes = content["planes"].tobytes()
    if not ends or ends[-1] != len(planes):
        raise ValueError("The snapshot is not whole.")
    cut = [planes[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    which = told.get("drawn", [])
    depth = len(cut) - len(which)
    drawn: dict[int, dict[int, bytes]] = {}
    for (index, seq), plane in zip(which, cut[depth:], strict=True):
        drawn.setdefault(index, {})[seq] = plane
    rows = tuple((int(seq), str(digest)) for seq, digest in told.get("rows", ()))
    return Snapshot(told["seq"], told["head"], told["about"], told["standing"], tuple(cut[:depth]), drawn, rows)
