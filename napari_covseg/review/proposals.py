"""What each network drew, slice by slice, kept beside the session: to accept a lesion of another one, and to compare.

It is there for convenience alone: what a reader decided is in the journal. A file that is missing or damaged is a slice
on which the network drew nothing; what was drawn or looked at in this window is held in memory, and written again.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Labels

FOLDER = "proposals"
NAME = "network.txt"
UNCERTAINTY = "uncertain_voxels"
DELETED = (
    "What {} drew was deleted from the session's folder; segment with it again to compare. Every correction is there."
)

log = logging.getLogger(__name__)


class Proposals:
    """The proposals of one session, per network, and how unsure whichever came last was of each slice.

    Parameters
    ----------
    folder
        The session's.
    shape
        Of its label map, in reading order.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        self.folder, self.shape = folder / FOLDER, shape
        self._uncertain = self._read_uncertainty()
        self._held: dict[str, dict[int, bytes]] = {}
        self._only_on_disk = set(self._on_disk())

    @property
    def networks(self) -> tuple[str, ...]:
        """What the reader calls the networks that drew anything, in order of their names."""
        return tuple(sorted({*self._on_disk(), *self._held}))

    @property
    def uncertain_voxels(self) -> npt.NDArray[np.float64]:
        """How many voxels of each slice the network that came last expects to have wrong; NaN where none was asked."""
        return self._uncertain.copy()

    def write(self, network: str, index: int, labels: Labels, uncertain_voxels: float | None = None) -> None:
        """Keep a slice (H, W) of a network; where that cannot be done it is left, since no decision depends on it."""
        self._uncertain[index] = np.nan if uncertain_voxels is None else uncertain_voxels
        self._held.setdefault(network, {})[index] = zlib.compress(labels.tobytes(), level=1)
        try:
            self._keep(network, (index,))
        except OSError as error:
            log.warning("A proposal could not be kept for comparison (%s).", error)

    def write_again(self) -> str:
        """Write what was deleted from the folder and is held; where that cannot be done now it is tried again later.

        Returns
        -------
        str
            What is gone for good, told once; empty where nothing is.
        """
        there = set(self._on_disk())
        gone, self._only_on_disk = self._only_on_disk - there, self._only_on_disk & there
        with suppress(OSError):
            for network, held in self._held.items():
                folder = self._folder(network)
                names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
                if missing := [index for index in held if str(index) not in names]:
                    self._keep(network, missing)
        return DELETED.format(" and ".join(sorted(gone))) if gone else ""

    def labels(self, network: str) -> Labels:
        """Return what a network drew, (D, H, W)."""
        labels = np.zeros(self.shape, dtype=np.uint8)
        for index, packed in self._packed(network).items():
            try:
                labels[index] = _unpacked(packed, self.shape[1:])
            except (zlib.error, ValueError) as error:
                log.warning("Slice %d of a proposal is damaged and was left out (%s).", index + 1, error)
        return labels

    def _packed(self, network: str) -> dict[int, bytes]:
        """Return all slices of a network as they are written, and hold them from now on."""
        held, folder = self._held.setdefault(network, {}), self._folder(network)
        for index in set(range(self.shape[0])) - held.keys() if folder.is_dir() else ():
            with suppress(OSError):
                held[index] = (folder / str(index)).read_bytes()
        if not held:
            del self._held[network]
        self._only_on_disk.discard(network)
        return held

    def _keep(self, network: str, slices: Iterable[int]) -> None:
        """Write slices that are held; a session's folder that is gone is not made anew, for it may have been moved."""
        folder = self._folder(network)
        self.folder.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        for index in slices:
            put_in_place(folder / str(index), self._held[network][index])
        put_in_place(self.folder / UNCERTAINTY, self._uncertain.tobytes())
        if not (folder / NAME).exists():
            put_in_place(folder / NAME, network.encode())

    def _on_disk(self) -> Iterator[str]:
        found = (each / NAME for each in self.folder.glob("*"))
        return (each.read_text(encoding="utf-8") for each in found if each.is_file())

    def _read_uncertainty(self) -> npt.NDArray[np.float64]:
        try:
            found = np.frombuffer((self.folder / UNCERTAINTY).read_bytes(), dtype=np.float64).copy()
        except (OSError, ValueError):
            found = np.empty(0)
        return found if len(found) == self.shape[0] else np.full(self.shape[0], np.nan)

    def _folder(self, network: str) -> Path:
        return self.folder / f"{zlib.crc32(network.encode()):08x}"


def _unpacked(packed: bytes, shape: tuple[int, int]) -> Labels:
    """Return a slice; whatever else the file unpacks to, no more of it is than a slice takes."""
    unpacking = zlib.decompressobj()
    drawn = unpacking.decompress(packed, shape[0] * shape[1] + 1)
    if not unpacking.eof:
        raise ValueError("it holds more or less than a slice")
    return np.frombuffer(drawn, dtype=np.uint8).reshape(shape)


def put_in_place(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a crash of the machine may lose it."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    os.replace(fresh, path)
