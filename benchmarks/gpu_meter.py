"""Seconds, memory, arithmetic and losses of the package's own jobs, taken from outside, and what a device could do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_covseg.jobs import Job, drain
from napari_covseg.training import batches, classroom, learner, train
from napari_covseg.training.loop import StepDone
from napari_covseg.training.source import Batch, BatchSource

WARM_UP_STEPS = 2
"""Steps of a stage that are not timed, where there are more."""

PEAKS_TFLOPS: dict[str, dict[str, float]] = {
    "H200 NVL": {"bf16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H200": {"bf16": 989.0, "tf32": 494.5, "fp32": 67.0},
    "H100 NVL": {"bf16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H100 PCIe": {"bf16": 756.0, "tf32": 378.0, "fp32": 51.0},
    "H100": {"bf16": 989.0, "tf32": 494.5, "fp32": 67.0},
    "A100": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "L40S": {"bf16": 362.0, "tf32": 183.0, "fp32": 91.6},
    "L4": {"bf16": 121.0, "tf32": 60.0, "fp32": 30.3},
    "A10": {"bf16": 125.0, "tf32": 62.5, "fp32": 31.2},
    "RTX 4090": {"bf16": 165.2, "tf32": 82.6, "fp32": 82.6},
}
"""Dense peaks by the vendor's data sheets; the first whose words are all in the device's name counts."""


def peak_tflops(device_name: str, dtype: str) -> float | None:
    """Return a device's dense peak for ``bf16``, ``tf32`` or ``fp32``; None where it is not known."""
    words = set(re.split(r"[\s-]+", device_name))
    return next((peaks[dtype] for name, peaks in PEAKS_TFLOPS.items() if set(name.split()) <= words), None)


def share_of_peak(flops: float, seconds: float, device_name: str, dtype: str) -> float | None:
    """Return the share of the device's peak that some arithmetic in some seconds is; None where it is not known."""
    peak = peak_tflops(device_name, dtype)
    return None if peak is None or not seconds else flops / seconds / (peak * 1e12)


def settled(device: torch.device) -> float:
    """Return the time once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


@contextmanager
def plain_fp32() -> Iterator[None]:
    """Compute in fp32 proper, without bfloat16 and TF32, so that devices can be compared."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with patch.object(learner, "bfloat16_gains", lambda *_, **__: False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


class Memory:
    """The peak of a device's memory since this was made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)

    def peak_mib(self) -> float | None:
        """Return it; None on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**20 if self.device.type == "cuda" else None


@dataclass
class StageSteps:
    """The steps of one stage: losses, and seconds of the device's work and of making the batch before it."""

    losses: list[float] = field(default_factory=list)
    device_s: list[float] = field(default_factory=list)
    batch_s: list[float] = field(default_factory=list)
    flops: float = 0.0


class StepWatch:
    """Watch a training or fine-tuning step by step; with a counter, also its arithmetic.

    Parameters
    ----------
    device
        Where it runs.
    count
        Count its arithmetic; the seconds then mean nothing.
    """

    def __init__(self, device: torch.device, *, count: bool = False) -> None:
        self.device, self.stages = device, list[StageSteps]()
        self.counter = FlopCounterMode(display=False) if count else None
        self.peak_mib: float | None = None
        self._asked_at = self._given_at = self._flops_before = 0.0

    def run(self, job: Job[Any]) -> Any:
        """Run a job to its end and return its result."""
        memory = Memory(self.device)
        with (
            patch.object(train, "batch_source", self._source),
            patch.object(classroom, "batch_source", self._source),
            self.counter or nullcontext(),
        ):
            result = drain(job, self._note)
        self.peak_mib = memory.peak_mib()
        return result

    def seconds(self, part: str) -> float:
        """Return the median seconds of a step's part, ``device_s`` or ``batch_s``, summed over the stages."""
        return sum(median(_warm(getattr(stage, part))) for stage in self.stages)

    def _source(self, *args: Any) -> BatchSource:
        source = batches.batch_source(*args)

        def batch_at(step: int, part: int = 0, /) -> Batch:
            self._asked_at = settled(self.device)
            batch = source(step, part)
            self._flops_before = self.counter.get_total_flops() if self.counter else 0.0
            self._given_at = perf_counter()
            return batch

        return batch_at

    def _note(self, event: Any) -> None:
        if not isinstance(event, StepDone):
            return
        now = settled(self.device)
        if event.step == 1:
            self.stages.append(StageSteps())
        stage = self.stages[-1]
        stage.losses.append(event.loss)
        stage.device_s.append(now - self._given_at)
        stage.batch_s.append(self._given_at - self._asked_at)
        stage.flops = (self.counter.get_total_flops() if self.counter else 0.0) - self._flops_before


class ForwardWatch:
    """Add up the seconds that some networks spend in ``forward``, whoever calls them."""

    def __init__(self, networks: nn.ModuleDict, device: torch.device) -> None:
        self.device, self.stages, self.seconds, self.calls, self._started = device, len(networks), 0.0, 0, 0.0
        for network in networks.values():
            network.register_forward_pre_hook(self._before)
            network.register_forward_hook(self._after)

    @property
    def passes(self) -> float:
        """How many slices or patches went through all networks."""
        return self.calls / self.stages

    def reset(self) -> None:
        """Start from nothing."""
        self.seconds, self.calls = 0.0, 0

    def _before(self, *_: Any) -> None:
        self._started = settled(self.device)

    def _after(self, *_: Any) -> None:
        self.seconds += settled(self.device) - self._started
        self.calls += 1


def _warm(values: list[float]) -> list[float]:
    return values[WARM_UP_STEPS:] or values
