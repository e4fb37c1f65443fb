"""What a training really did, beside what it was asked for: steps, and where memory ran out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_covseg.jobs import Remark
from napari_covseg.training.loop import StepDone


@dataclass(slots=True)
class Done:
    """Last step of every stage, one after the other, and what was remarked on the way."""

    steps: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def note(self, step: object) -> None:
        """Take what a training yields."""
        if isinstance(step, Remark):
            self.remarks.append(step.words)
        elif isinstance(step, StepDone):
            if self.steps and step.step > self.steps[-1]:
                self.steps[-1] = step.step
            else:
                self.steps.append(step.step)

    def figures(self) -> dict[str, Any]:
        """Return it for a checkpoint's card."""
        return {"steps": list(self.steps), "remarks": list(self.remarks)}
