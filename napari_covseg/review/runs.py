"""Two boxes of labels as runs of equal voxels: lesions are solid, and a journal of runs is small and soon written."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

RUNS = b"\x01"
"""What runs begin with; voxels that are compressed as they are begin as zlib has it, with another byte."""

BYTES_PER_RUN = 6
"""Four of its length, and what is there before and after."""


def packed(before: Labels, after: Labels) -> bytes:
    """Return two boxes of one shape, compressed: as runs, or as they are where runs would take more room."""
    was, now = before.ravel(), after.ravel()
    changes = was[1:] != was[:-1]
    changes |= now[1:] != now[:-1]
    lasts = np.append(np.flatnonzero(changes), was.size - 1)
    if not was.size or len(lasts) * BYTES_PER_RUN > 2 * was.size:
        return zlib.compress(was.tobytes() + now.tobytes(), level=1)
    lengths = np.diff(lasts, prepend=-1).astype("<u4")
    by_byte = lengths.view(np.uint8).reshape(-1, 4).T  # the high bytes are nearly all 0 and take no room
    return RUNS + zlib.compress(by_byte.tobytes() + was[lasts].tobytes() + now[lasts].tobytes(), level=1)


def unpacked(content: bytes, shape: Sequence[int]) -> tuple[Labels, Labels]:
    """Return the two boxes that `packed` was given.

    Raises
    ------
    ValueError
        If the bytes are not those of two boxes of this shape.
    """
    try:
        if not content.startswith(RUNS):
            both = np.frombuffer(zlib.decompress(content), dtype=np.uint8).reshape(2, *shape)
            return both[0], both[1]
        columns = np.frombuffer(zlib.decompress(content[len(RUNS) :]), dtype=np.uint8).reshape(BYTES_PER_RUN, -1)
    except zlib.error as error:
        raise ValueError("A correction in the journal is damaged.") from error
    lengths = np.ascontiguousarray(columns[:4].T).view("<u4").ravel()
    if int(lengths.sum(dtype=np.int64)) != int(np.prod(shape)):
        raise ValueError("A correction in the journal is damaged.")
    was, now = (np.repeat(column, lengths).reshape(shape) for column in columns[4:])
    return was, now
