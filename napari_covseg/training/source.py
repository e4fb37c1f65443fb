"""Batches by step, prepared one after the other or ahead of time by other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = tuple[tuple[Tensor, ...], Tensor, list[frozenset[str]]]
"""Streams (N, 1, …), labels (N, …) and the annotated classes of each of the N samples."""


class BatchSource(Protocol):
    """From a step, and a part of it, to a batch."""

    def __call__(self, step: int, part: int = 0, /) -> Batch:
        """Return the batch; the same step and part always give the same."""


def prepared_ahead(batch_at: BatchSource, places: Sequence[tuple[int, int]], workers: int) -> Iterator[Batch]:
    """Yield the batches of some steps and parts, in order; the same ones whoever prepares them.

    Parameters
    ----------
    batch_at
        From step and part to batch.
    places
        Steps and parts.
    workers
        Processes that prepare ahead, forked from this one, so that they share its slices; 0 prepares each when asked.
    """
    if workers == 0:
        return (batch_at(*place) for place in places)
    loader = DataLoader(
        _Places(batch_at, places),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context="fork",
    )
    return iter(loader)


class _Places(Dataset[Batch]):
    def __init__(self, batch_at: BatchSource, places: Sequence[tuple[int, int]]) -> None:
        self.batch_at, self.places = batch_at, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Batch:
        return self.batch_at(*self.places[index])
