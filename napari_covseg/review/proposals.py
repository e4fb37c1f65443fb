"""What each network drew, slice by slice, kept beside the session: to accept a lesion of another one, and to compare.

It is there for convenience alone: what a reader decided is in the journal. A file that is missing or damaged is a slice
on which the network drew nothing.
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Labels

FOLDER = "proposals"
NAME = "network.txt"
UNCERTAINTY = "uncertain_voxels"

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

    @property
    def networks(self) -> tuple[str, ...]:
        """What the reader calls the networks that drew anything, in order of their names."""
        found = (each / NAME for each in self.folder.glob("*"))
        return tuple(sorted(each.read_text(encoding="utf-8") for each in found if each.is_file()))

    @property
    def uncertain_voxels(self) -> npt.NDArray[np.float64]:
        """How many voxels of each slice the network that came last expects to have wrong; NaN where none was asked."""
        return self._uncertain.copy()

    def write(self, network: str, index: int, labels: Labels, uncertain_voxels: float | None = None) -> None:
        """Keep a slice (H, W) of a network; where that cannot be done it is left, since no decision depends on it."""
        self._uncertain[index] = np.nan if uncertain_voxels is None else uncertain_voxels
        packed = zlib.compress(labels.tobytes(), level=1)
        try:
            folder = self._folder(network)
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / str(index), packed)
            _replace(self.folder / UNCERTAINTY, self._uncertain.tobytes())
            if not (folder / NAME).exists():
                _replace(folder / NAME, network.encode())
        except OSError:
            log.warning("A proposal could not be kept for comparison.", exc_info=True)

    def labels(self, network: str) -> Labels:
        """Return what a network drew, (D, H, W)."""
        labels = np.zeros(self.shape, dtype=np.uint8)
        folder = self._folder(network)
        for index in range(self.shape[0]):
            try:
                packed = (folder / str(index)).read_bytes()
                labels[index] = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(self.shape[1:])
            except FileNotFoundError:
                continue
            except (OSError, zlib.error, ValueError):
                log.warning("A slice of a proposal is damaged and was left out.", exc_info=True)
        return labels

    def _read_uncertainty(self) -> npt.NDArray[np.float64]:
        try:
            found = np.frombuffer((self.folder / UNCERTAINTY).read_bytes(), dtype=np.float64).copy()
        except (OSError, ValueError):
            found = np.empty(0)
        return found if len(found) == self.shape[0] else np.full(self.shape[0], np.nan)

    def _folder(self, network: str) -> Path:
        return self.folder / f"{zlib.crc32(network.encode()):08x}"


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    os.replace(fresh, path)
