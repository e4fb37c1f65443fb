"""What can be undone and redone: corrections as the log tells them, without their voxels, which stay in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_covseg.review.audit import Event
from napari_covseg.review.correction import Correction
from napari_covseg.volume import Provenance

NETWORK_TOOL = "network"
UNDO_STEPS = 1000
"""How many steps can be undone, also after a restart; a run of a network is one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One correction: its row in the journal, where it is, what made it, and the slices on which something changed."""

    seq: int
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    tool: str
    title: str
    group: str
    slices: tuple[int, ...]
    voxels: int

    def correction(self, packed: bytes) -> Correction:
        """Return the correction with its voxels.

        Raises
        ------
        ValueError
            If these are not its voxels.
        """
        return Correction.unpacked(packed, self.start, self.shape, self.tool, self.title, self.group)


def told(correction: Correction) -> dict[str, Any]:
    """Return what the log tells of a correction."""
    detail: dict[str, Any] = {
        "start": correction.start,
        "shape": correction.before.shape,
        "tool": correction.tool,
        "title": correction.title,
        "group": correction.group,
        "voxels": correction.voxels_changed,
        "slices": correction.changed_slices,
    }
    return detail | _trained(correction.provenance)


def step_of(event: Event, packed: bytes | None = None) -> Step:
    """Return the step that a row tells of.

    Parameters
    ----------
    event
        A row of a correction.
    packed
        Its voxels, which rows of version 1 need to say on which slices something changed.
    """
    detail = event.detail
    start, shape = tuple(detail["start"]), tuple(detail["shape"])
    step = Step(event.seq, start, shape, detail["tool"], detail["title"], detail["group"], (), detail.get("voxels", 0))
    slices = detail.get("slices")
    if slices is None:
        slices = range(start[0], start[0] + shape[0]) if packed is None else step.correction(packed).changed_slices
    return Step(event.seq, start, shape, step.tool, step.title, step.group, tuple(slices), step.voxels)


class History:
    """Two stacks of steps.

    Parameters
    ----------
    touched_before
        Slices that were the reader's own already, where the history begins anew after a loss; None from the beginning.
    """

    def __init__(self, touched_before: Sequence[int] | None = None) -> None:
        self.done: list[Step] = []
        self.undone: list[Step] = []
        self.bare: set[int] = set()
        self._touched_before = frozenset(touched_before or ())
        self.begins_anew = touched_before is not None

    @property
    def touched(self) -> frozenset[int]:
        """Slices the reader corrected by hand since a network last wrote on them."""
        touched = set(self._touched_before)
        for step in self.done:
            if step.tool == NETWORK_TOOL:
                touched.difference_update(step.slices)  # between them it may have left out what is the reader's own
            else:
                touched.update(range(step.start[0], step.start[0] + step.shape[0]))
        return frozenset(touched)

    def touched_since(self, seq: int) -> frozenset[int]:
        """Return the slices the reader corrected by hand in rows after this one, less what was undone."""
        later = (step for step in self.done if step.seq > seq and step.tool != NETWORK_TOOL)
        return frozenset(index for step in later for index in range(step.start[0], step.start[0] + step.shape[0]))

    def title(self, kind: str) -> str:
        """Return what undo or redo would move; empty if there is nothing."""
        steps = self.next(kind)
        return steps[0].title if steps else ""

    @property
    def end(self) -> str:
        """Why no more can be undone although something was done; empty where something can be, or nothing was."""
        if self.next("undo"):
            return ""
        if self.done:
            return f"Undo goes back {UNDO_STEPS} steps; this is the oldest that is kept."
        return "What was done before the session was put together again cannot be undone." if self.begins_anew else ""

    def made(self, step: Step) -> None:
        """Put a new correction on top; what was undone is forgotten."""
        self.done.append(step)
        self.undone.clear()

    def next(self, kind: str) -> list[Step]:
        """Return the steps that the next undo or redo moves, in this order; none where their voxels are gone."""
        source = self.done if kind == "undo" else self.undone
        steps: list[Step] = []
        for step in reversed(source):
            if steps and (not step.group or step.group != steps[0].group):
                break
            steps.append(step)
        return [] if any(step.seq in self.bare for step in steps) else steps

    def move(self, kind: str, steps: Sequence[Step]) -> None:
        """Move steps from one stack to the other."""
        source, target = (self.done, self.undone) if kind == "undo" else (self.undone, self.done)
        numbers = {step.seq for step in steps}
        top = source[-len(steps) :] if steps else []
        if {step.seq for step in top} == numbers:
            del source[len(source) - len(top) :]
        else:
            source[:] = [step for step in source if step.seq not in numbers]
        target.extend(steps)

    def within_reach(self) -> set[int]:
        """Return the rows whose voxels undo and redo may still need."""
        reached: set[int] = {step.seq for step in self.undone}
        left, group = UNDO_STEPS, ""
        for step in reversed(self.done):
            if not group or step.group != group:
                left -= 1
            group = step.group
            if left < 0:
                break
            reached.add(step.seq)
        return reached


def _trained(provenance: Provenance) -> dict[str, str]:
    fields = ("network", "checkpoint", "checkpoint_sha256")
    return {name: getattr(provenance, name) for name in fields if getattr(provenance, name)}
