"""The lungs as networks drew them, slice by slice, kept beside the session: the lung brush knows them after a restart.

They are there for convenience alone, and no decision of the reader's is in them. A file that is missing or damaged is a
slice on which nobody drew the lungs.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from napari_covseg.review.proposals import put_in_place
from napari_covseg.review.scene import Mask

FOLDER = "lungs"

log = logging.getLogger(__name__)


def keep_lung(session: Path, index: int, mask: Mask) -> None:
    """Keep the lungs (H, W) of a slice beside a session, whole or not at all; where that cannot be done it is left.

    A session's folder that is gone is not made anew, for it may have been moved.
    """
    try:
        (session / FOLDER).mkdir(exist_ok=True)
        put_in_place(session / FOLDER / str(index), zlib.compress(np.packbits(mask).tobytes(), level=1))
    except OSError:
        log.warning("The lungs of a slice could not be kept.", exc_info=True)


def kept_lungs(session: Path, shape: tuple[int, int, int]) -> Iterator[tuple[int, Mask]]:
    """Yield the slices whose lungs are kept beside a session, by index, each with its mask (H, W).

    Parameters
    ----------
    session
        Its folder.
    shape
        Of its label map, in reading order.
    """
    depth, height, width = shape
    for index in range(depth) if (session / FOLDER).is_dir() else ():
        with suppress(OSError, zlib.error):
            content = zlib.decompress((session / FOLDER / str(index)).read_bytes())
            bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
            if len(bits) - height * width in range(8):
                yield index, bits[: height * width].reshape(height, width).astype(np.bool_)
