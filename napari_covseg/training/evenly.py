"""A few things out of many, without favour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly(things: Sequence[T], count: int) -> list[T]:
    """Return so many things, or all where there are fewer, evenly spread from the first to the last."""
    steps = np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
    return [things[step] for step in np.unique(steps)]
