"""What a training really did, beside what it was asked for: steps, settings, and where memory ran out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_covseg.jobs import Remark
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.loop import EndedEarly, StepDone


@dataclass(frozen=True, slots=True)
class Attempt:
    """Told when a stage begins to learn: its name, with which settings, and on which type of device.

    Where it is told of a stage again, memory ran out, and what was told of it before came to nothing.
    """

    stage: str
    config: TrainingConfig
    device: str


@dataclass(slots=True)
class Done:
    """The attempt of every stage that came to something, its last step, and what was remarked on the way."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    ended_early: bool = False

    def note(self, step: object) -> None:
        """Take what a training yields."""
        if isinstance(step, Remark):
            self.remarks.append(step.words)
        elif isinstance(step, Attempt):
            self.attempts[step.stage] = step
            self.steps.pop(step.stage, None)
        elif isinstance(step, StepDone):
            self.steps[next(reversed(self.attempts))] = step.step
        elif isinstance(step, EndedEarly):
            self.ended_early = True

    @property
    def last(self) -> Attempt | None:
        """The attempt of the last stage; None where all were finished by an earlier call."""
        return next(reversed(self.attempts.values()), None)

    def figures(self) -> dict[str, Any]:
        """Return it for a checkpoint's card."""
        return {"steps": list(self.steps.values()), "remarks": list(self.remarks)}
