"""How a session stands: label map, marks, signatures and history, and what a row of its log changes in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_covseg.review.audit import Event
from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.history import NETWORK_TOOL, History, Step, step_of
from napari_covseg.review.signing import (
    Mark,
    Signature,
    fingerprint,
    mark_of,
    marks_read,
    marks_told,
    signature_of,
    signatures_read,
    signatures_told,
)
from napari_covseg.review.snapshot import packed, unpack

DRAWN_KEPT = 3
"""How many proposals of a slice are kept that can still be undone; the newest that cannot is kept beside them."""

Packed = Callable[[int], bytes | None]


@dataclass(slots=True, eq=False)
class Standing:
    """What stands.

    Parameters
    ----------
    values
        The label map (D, H, W), in reading order.
    history
        What can be undone and redone.
    marks
        Reviewed slices.
    signatures
        All of them, the oldest first.
    is_signed
        Whether the last of them holds: the session was not opened again.
    dirty
        Slices that were written on since the last snapshot.
    taken
        Marks that a step took as it was made, undone or redone last: by that kind and row of the log, then by slice.
    drawn
        Slices as networks left them, packed, by index and row of the log: what was proposed is known longer than it can
        be undone.
    """

    values: Labels
    history: History = field(default_factory=History)
    marks: dict[int, Mark] = field(default_factory=dict)
    signatures: list[Signature] = field(default_factory=list)
    is_signed: bool = False
    dirty: set[int] = field(default_factory=set)
    drawn: dict[int, dict[int, bytes]] = field(default_factory=dict)
    taken: dict[tuple[str, int], dict[int, Mark]] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return all but voxels and history, as JSON has it."""
        return {
            "shape": list(self.values.shape),
            "marks": marks_told(self.marks),
            "signatures": signatures_told(self.signatures),
            "is_signed": self.is_signed,
            "touched": sorted(self.history.touched),
        }

    def start_from(self, told: Mapping[str, Any]) -> None:
        """Take over what `told` told; the history begins anew."""
        self.marks, self.signatures = marks_read(told["marks"]), signatures_read(told["signatures"])
        self.is_signed, self.history = told["is_signed"], History(told["touched"])

    def write(self, correction: Correction, slices: Iterable[int], *, over: bool = False) -> None:
        """Change the label map; `over` writes whatever was there.

        Raises
        ------
        ValueError
            If what is there is not what the correction was made on.
        """
        (correction.laid_over if over else correction.applied_to)(self.values)
        self.dirty.update(slices)

    def drew(self, step: Step) -> None:
        """Keep what stands now on the slices of a step that was just made, if a network made it."""
        if step.tool == NETWORK_TOOL:
            for index in step.slices:
                self.drawn.setdefault(index, {})[step.seq] = packed(self.values[index])

    def let_go_of_drawn(self) -> None:
        """Keep per slice the newest that can no longer be undone, and the newest few that can."""
        steps = {step.seq for step in (*self.history.done, *self.history.undone)}
        for index, planes in self.drawn.items():
            known = sorted(seq for seq in planes if seq in steps)
            old = [seq for seq in known if seq in self.history.bare]
            kept = {*old[-1:], *[seq for seq in known if seq not in self.history.bare][-DRAWN_KEPT:]}
            self.drawn[index] = {seq: plane for seq, plane in planes.items() if seq in kept}

    def proposals(self) -> dict[int, Labels]:
        """Return the slices (H, W) as a network last left them, by index, as far as that is kept.

        Slices on which no network wrote are among them, empty as the session began, where it can be told no other way.
        """
        last = {index: step.seq for step in self.history.done if step.tool == NETWORK_TOOL for index in step.slices}
        found = {index: self.drawn[index][seq] for index, seq in last.items() if seq in self.drawn.get(index, {})}
        if self.history.bare and not self.history.begins_anew:
            found |= dict.fromkeys(set(range(len(self.values))) - last.keys(), b"")
        planes = {index: np.zeros(self.values.shape[1:], dtype=np.uint8) for index in found}
        for index, content in found.items():
            unpack(content, planes[index])
        return planes

    def take_marks_back(self, kind: str, step: Step) -> bool:
        """Take back the marks of the slices that a step changed; return whether there were any.

        Parameters
        ----------
        kind
            Whether it was made (or redone), or undone: ``undo``.
        step
            The step.
        """
        taken = {index: self.marks.pop(index) for index in step.slices if index in self.marks}
        self.taken[_direction(kind), step.seq] = taken
        return bool(taken)

    def owed(self, kind: str, steps: Iterable[Step]) -> dict[int, Mark]:
        """Return the marks that steps took when they went the other way: with them undone, or redone, they hold again.

        Every change of a slice takes its mark, so that a slice that gets one back is as it was when it was marked.
        """
        other = "redo" if kind == "undo" else "undo"
        return {index: mark for step in steps for index, mark in self.taken.get((other, step.seq), {}).items()}

    def take_belied_marks_back(self, sure: Collection[Mark]) -> tuple[int, ...]:
        """Take back the marks of slices whose labels are not those that were vouched for; return these slices.

        Parameters
        ----------
        sure
            Marks that hold although they do not tell what they vouch for, as those of an earlier version do not.
        """
        belied = [index for index, mark in sorted(self.marks.items()) if not self._holds(index, mark, sure)]
        for index in belied:
            del self.marks[index]
        return tuple(belied)

    def take(self, event: Event, payload: Packed) -> list[Step]:
        """Take in what a row tells, all but voxels; return the steps whose voxels it moves."""
        steps: list[Step] = []
        if event.kind == "correction":
            steps = [step_of(event, None if "slices" in event.detail else payload(event.seq))]
            self.history.made(steps[0])
            if not event.has_payload:
                self.history.bare.add(event.seq)
        elif event.kind in ("undo", "redo"):
            steps = self._moved(event)
            self.history.move(event.kind, steps)
        elif event.kind == "mark":
            self.marks[event.detail["slice"]] = mark_of(event)
        elif event.kind == "unmark":
            self._unmark(event.detail["slice"])
        elif event.kind == "sign":
            self.signatures.append(signature_of(event, len(self.signatures) + 1))
            self.is_signed = True
        elif event.kind == "reopen":
            self.is_signed = False
        for step in steps:
            self.take_marks_back(event.kind, step)
        if event.kind in ("undo", "redo", "restore"):  # an earlier version gave marks back by a row of their own
            self.marks |= marks_read(event.detail.get("marks", ()))
        return steps

    def _unmark(self, index: int) -> None:
        """Take a slice's mark, and what steps took of it before: the reader's last word is that it has none."""
        for each in (self.marks, *self.taken.values()):
            each.pop(index, None)

    def _holds(self, index: int, mark: Mark, sure: Collection[Mark]) -> bool:
        return mark.labels_sha256 == fingerprint(self.values[index]) if mark.labels_sha256 else mark in sure

    def _moved(self, event: Event) -> list[Step]:
        source = self.history.done if event.kind == "undo" else self.history.undone
        numbers = event.detail.get("rows")
        if numbers is None:
            bare, self.history.bare = self.history.bare, set()
            steps = self.history.next(event.kind)
            self.history.bare = bare
            return steps
        by_number = {step.seq: step for step in source[-len(numbers) :]}
        return [by_number[seq] for seq in numbers if seq in by_number]


def _direction(kind: str) -> str:
    return "undo" if kind == "undo" else "redo"
