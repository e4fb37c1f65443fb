"""The lungs as networks drew them, slice by slice, kept beside the session: the lung brush knows them after a restart.

They are there for convenience alone, and no decision of the reader's is in them. A file that is missing or damaged, or
that is of another slice or scan, is a slice on which nobody drew the lungs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_covseg.review.proposals import put_in_place
from napari_covseg.review.scene import Mask

FOLDER = "lungs"
SEAL_BYTES = 32


@dataclass(frozen=True, slots=True)
class LungFiles:
    """The lungs beside one session.

    Parameters
    ----------
    session
        Its folder.
    scan_sha256
        The fingerprint of its scan: the lungs of another one are not taken for this one's.
    shape
        Of its label map, in reading order.
    """

    session: Path
    scan_sha256: str
    shape: tuple[int, int, int]

    def keep(self, index: int, mask: Mask) -> None:
        """Keep the lungs (H, W) of a slice, whole or not at all.

        A session's folder that is gone is not made anew, for it may have been moved.

        Raises
        ------
        OSError
            If that cannot be done.
        """
        (self.session / FOLDER).mkdir(exist_ok=True)
        packed = np.packbits(mask).tobytes()
        put_in_place(self._file(index), self._seal(index, packed) + zlib.compress(packed, level=1))

    def kept(self) -> Iterator[tuple[int, Mask]]:
        """Yield the slices whose lungs are kept, by index, each with its mask (H, W)."""
        depth, height, width = self.shape
        for index in range(depth) if (self.session / FOLDER).is_dir() else ():
            with suppress(OSError, zlib.error):
                packed = self._unpacked(index)
                if packed is not None:
                    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=height * width)
                    yield index, bits.reshape(height, width).astype(np.bool_)

    def _unpacked(self, index: int) -> bytes | None:
        """Return the mask of a slice, eight pixels to a byte; None where the file holds anything else.

        However large it is, or what it unpacks to, no more is read than a mask of this size can take.
        """
        if not self._file(index).is_file():  # a pipe would be waited for
            return None
        length = -(-self.shape[1] * self.shape[2] // 8)
        most = SEAL_BYTES + length + length // 64 + 64  # what cannot be compressed grows a little
        with self._file(index).open("rb") as file:
            content = file.read(most)
        unpacking = zlib.decompressobj()
        packed = unpacking.decompress(content[SEAL_BYTES:], length + 1)
        is_whole = unpacking.eof and self._seal(index, packed) == content[:SEAL_BYTES]
        return packed if is_whole and len(packed) == length else None

    def _seal(self, index: int, packed: bytes) -> bytes:
        told = f"{self.scan_sha256} {self.shape} {index} ".encode()
        return hashlib.sha256(told + packed).digest()

    def _file(self, index: int) -> Path:
        return self.session / FOLDER / str(index)
