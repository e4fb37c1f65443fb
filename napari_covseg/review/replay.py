"""From a journal and its snapshots to how a session stands, and to what was lost of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from napari_covseg.review.audit import Event, missing
from napari_covseg.review.history import History, Step
from napari_covseg.review.journal import Journal
from napari_covseg.review.snapshot import Snapshot
from napari_covseg.review.standing import Packed, Standing


@dataclass(frozen=True, slots=True)
class Loss:
    """What a damaged journal cost.

    Parameters
    ----------
    entries
        Rows of the log that are gone.
    changes
        How many of them are missing from the label map too, at most.
    after
        The last row before these; None where there is none.
    is_history_gone
        Whether what was done before can no longer be undone.
    unmarked
        Slices whose mark was taken back, since their labels are not known to be those that were vouched for.
    """

    entries: int
    changes: int
    after: Event | None
    is_history_gone: bool
    unmarked: tuple[int, ...] = ()


def standing_of(journal: Journal, shape: tuple[int, int, int]) -> tuple[Standing, Snapshot | None, Loss | None]:
    """Return how a session stands, the snapshot that was begun from, and what was lost."""
    damage = journal.condition.damage
    last_row = journal.trail[-1].seq if journal.trail else 0
    is_cut_at_its_end = damage is None or (not damage.bare and all(low > last_row for low, _ in damage.missing))
    newest = journal.snapshots[0].seq if journal.snapshots else 0
    if is_cut_at_its_end and newest <= last_row:
        try:
            standing, base = _replayed(journal, shape)
            cut = [seq for seq in _missing(journal) if seq > last_row]
            return standing, base, None if damage is None else _loss(journal, cut, gone=False)
        except ValueError:
            pass
    return _pieced_together(journal, shape)


def _replayed(journal: Journal, shape: tuple[int, int, int]) -> tuple[Standing, Snapshot | None]:
    """Replay every row since the last recovery; voxels, since the last snapshot.

    Raises
    ------
    ValueError
        If rows and snapshot do not fit together, or voxels that are needed are gone.
    """
    trail = journal.trail
    barrier = max((at for at, e in enumerate(trail) if e.kind == "recovery" and e.detail.get("barrier")), default=-1)
    first = trail[barrier].seq if barrier >= 0 else 0
    bases: list[Snapshot | None] = [s for s in journal.snapshots if s.seq >= first and _fits(s, trail)]
    bases += [] if first or journal.about.get("compacted_to") else [None]
    for base in bases:
        with suppress(ValueError):
            return _replayed_from(base, journal, shape, barrier), base
    raise ValueError("The snapshot that the journal goes on from is gone.")


def _replayed_from(base: Snapshot | None, journal: Journal, shape: tuple[int, int, int], barrier: int) -> Standing:
    """Replay what a snapshot does not hold, and see that every mark is on the labels it vouches for.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    standing = Standing(np.zeros(shape, dtype=np.uint8) if base is None else base.label_map())
    if base is not None:
        standing.drawn = {index: dict(planes) for index, planes in base.drawn.items()}
    if barrier >= 0:
        standing.start_from(journal.trail[barrier].detail["standing"])
    for event in journal.trail[barrier + 1 :]:
        steps = standing.take(event, journal.payload)
        if base is None or event.seq > base.seq:
            _draw(standing, event, steps, journal.payload, over=False)
    if standing.take_belied_marks_back(set(standing.marks.values())):
        raise ValueError("The snapshot is not the one that was saved.")
    return standing


def _pieced_together(journal: Journal, shape: tuple[int, int, int]) -> tuple[Standing, Snapshot | None, Loss]:
    """Begin from the newest snapshot, lay over it whatever rows are left after it, and doubt the marks."""
    base = next((s for s in journal.snapshots if _fits(s, journal.trail, or_missing=True)), None)
    standing = Standing(np.zeros(shape, dtype=np.uint8) if base is None else base.label_map())
    after = base.seq if base else 0
    for event in (e for e in journal.trail if e.seq <= after):
        standing.take(event, journal.payload)
    if base is not None:
        earlier = standing.history
        standing.start_from(base.standing)
        standing.history.done, standing.history.undone = earlier.done, earlier.undone  # later rows may move these
    lost = _lost_after(after, journal)
    sure = set(standing.marks.values())
    for event in (e for e in journal.trail if e.seq > after):
        _draw(standing, event, standing.take(event, journal.payload), journal.payload, over=True)
        if not lost or event.seq < lost[0]:
            sure = set(standing.marks.values())
    standing.history = History(sorted(standing.history.touched))
    unmarked = standing.take_belied_marks_back(sure)
    return standing, base, replace(_loss(journal, lost, gone=True), unmarked=unmarked)


def _draw(standing: Standing, event: Event, steps: Sequence[Step], payload: Packed, *, over: bool) -> None:
    for step in steps:
        content = payload(step.seq)
        if content is None:
            if not over:
                raise ValueError("A correction's voxels are gone.")
            continue
        correction = step.correction(content)
        standing.write(correction.inverse() if event.kind == "undo" else correction, step.slices, over=over)
        if event.kind == "correction":
            standing.drew(step)


def _fits(snapshot: Snapshot, trail: Sequence[Event], *, or_missing: bool = False) -> bool:
    if snapshot.seq == 0:
        return True
    event = next((e for e in reversed(trail) if e.seq == snapshot.seq), None)
    return or_missing if event is None else event.hash.hex() == snapshot.head


def _missing(journal: Journal) -> list[int]:
    """Return the numbers of all rows that are gone, also of those that an earlier recovery told of."""
    return [seq for low, high in missing((e.seq for e in journal.trail), journal.last) for seq in range(low, high + 1)]


def _lost_after(base: int, journal: Journal) -> list[int]:
    """Return the numbers of the rows that are gone, or whose voxels are, and that no snapshot holds."""
    bare = (e.seq for e in journal.trail if e.kind == "correction" and not e.has_payload)
    return sorted(seq for seq in (*_missing(journal), *bare) if seq > base)


def _loss(journal: Journal, changes: Sequence[int], *, gone: bool) -> Loss:
    damage = journal.condition.damage
    entries = sum(high - low + 1 for low, high in damage.missing) if damage else 0
    first = min(changes, default=0)
    after = next((e for e in reversed(journal.trail) if e.seq < first), None)
    return Loss(entries, len(changes), after, gone)
