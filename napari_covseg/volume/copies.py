"""Copies of one scan: cut to fewer slices, exported again or changed somewhere, they still have slices in common.

Slices are compared by their fingerprints, as `Volume.slices_sha256` gives them; a slice without one is none in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Shared = tuple[tuple[int, int], ...]
"""Pairs of indices, the first in one scan and the second in the other, by the first."""


def shared(one: Sequence[str], other: Sequence[str]) -> Shared:
    """Return which slices two scans have in common; none where they are no copies of one."""
    there = {fingerprint: index for index, fingerprint in enumerate(other) if fingerprint}
    return tuple((index, there[fingerprint]) for index, fingerprint in enumerate(one) if fingerprint in there)


def moved(indices: Iterable[int], pairs: Shared) -> tuple[int, ...]:
    """Return where slices of one scan lie in the other, as seen from the nearest that both have; it may be beyond it.

    Parameters
    ----------
    indices
        In the first of two scans.
    pairs
        What they have in common, as `shared` returns it; at least one.
    """

    def place(index: int) -> int:
        near, there = min(pairs, key=lambda pair: abs(pair[0] - index))
        return there + index - near

    return tuple(map(place, indices))
