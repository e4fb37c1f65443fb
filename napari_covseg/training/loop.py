"""The training loop: one page, told in steps, resumable.

AdamW with a cosine schedule after a warm-up, gradient clipping, bfloat16 where the machine gains from it, and an
exponential moving average of the weights, which is what is kept. A step may be split into parts, which several
processes share out: batch norm then looks at a part, its running statistics are the mean over the parts, as are the
gradients, so that two processes with a part each do what one does with two.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from math import cos, inf, pi
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_covseg.jobs import Job, Progress, Remark
from napari_covseg.training.frugal import compute_twice
from napari_covseg.training.processes import Processes
from napari_covseg.training.source import Batch, BatchSource, prepared_ahead
from napari_covseg.training.tensor_files import read_tensors, write_tensors

Loss = Callable[[Tensor, Tensor, list[frozenset[str]]], Tensor]

UNSAVED = "The training goes on, but what it learned so far would be lost in a kill."

Beside = Callable[[nn.Module, Tensor, Batch], Tensor]
"""From the network, its logits and the batch they are of to what is added to the loss; all on one device."""

SAVE_EVERY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of one training; they go into the checkpoint.

    Parameters
    ----------
    steps, batch, parts
        Optimiser steps; samples per part; parts of a step.
    learning_rate, weight_decay, schedule, warm_up, clip_norm
        Of AdamW; ``warm_up`` is a share of the steps, a ``clip_norm`` of 0 clips nothing.
    ema_decay
        Of the averaged weights.
    crop, depth
        Pixels along a side of a crop; slices of a patch, where the network sees patches.
    lesion_share
        Share of the pieces that are cut at a lesion, where a patient has any; the others are cut anywhere.
    augmentation
        Names that `training.augment` knows.
    loss
        A name of `training.losses.MIXTURES`; None is the loss of the paper.
    seed
        Of weights, order and augmentation.
    freeze_batch_norm
        Keep its statistics as they are.
    bfloat16
        Whether to compute in mixed precision; None where the machine gains from it (`bfloat16_gains`).
    checkpointing
        Keep no activations within a block and compute them twice: slower, with less memory.
    patience
        Stop after so many checks without a better one; 0 never stops early. Without a check nothing does.
    checks
        How often the averaged weights are looked at, where there is something to look at them with.
    """

    steps: int
    batch: int = 4
    parts: int = 1
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: float = 0.03
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    crop: int = 256
    depth: int = 16
    lesion_share: float = 0.75
    augmentation: tuple[str, ...] = ("rotate", "rescale", "flip", "window", "gamma", "blur", "noise")
    loss: str | None = "ce_plus_dice"
    seed: int = 0
    freeze_batch_norm: bool = False
    bfloat16: bool | None = None
    checkpointing: bool = False
    patience: int = 0
    checks: int = 20

    def is_as_saved(self, saved: Mapping[str, Any]) -> bool:
        """Whether settings on disk are these; what an older build did not know yet was as it is by default."""
        known = {each.name: each.default for each in fields(self) if each.default is not MISSING}
        as_json = partial(json.dumps, sort_keys=True)  # which knows lists, and no tuples
        return as_json({**known, **saved}) == as_json(asdict(self))


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimiser step: its number, from 1, the loss of its batch, and its learning rate."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class CheckDone:
    """The averaged weights were looked at after a step: their loss on what is held out."""

    step: int
    loss: float


def trained(
    module: nn.Module,
    batch_at: BatchSource,
    loss: Loss,
    config: TrainingConfig,
    *,
    device: torch.device | None = None,
    state_file: Path | None = None,
    deadline: float = inf,
    workers: int = 0,
    check: Callable[[nn.Module], float] | None = None,
    watch: Callable[[nn.Module], float] | None = None,
    enough: Callable[[], bool] = lambda: False,
    beside: Beside | None = None,
    save_every_s: float | None = None,
) -> Job[nn.Module | None]:
    """Train a network; yields `StepDone`, `CheckDone` and `Progress`, returns the averaged weights.

    Parameters
    ----------
    module
        The stage to train, changed in place.
    batch_at
        From step and part to batch; it depends on these alone, so that a resumed training goes on where it was.
    loss
        From logits, labels and annotated classes to a scalar.
    config
        Settings.
    device
        Where to compute.
    state_file
        Saved every few minutes, and when the job is closed; resumed from where it exists.
    deadline
        Stop at this `time.monotonic`; with a state file the training can go on later, and None is returned.
    workers
        Processes that prepare batches ahead, which a GPU needs to be kept busy; without, each is prepared in its turn.
    check
        From the averaged weights to a loss; the best are kept, and training stops when they get no better.
    watch
        As a check, but it chooses nothing: the last averaged weights are kept, unless it was `enough`.
    enough
        Whether somebody wants it to end after this step, with the best that was checked or watched so far.
    beside
        What is added to the loss of every part.
    save_every_s
        How often the state file is written; `SAVE_EVERY_SECONDS` without.

    Raises
    ------
    OSError
        If time is up and the state file cannot be written; before, a remark says so and the training goes on.
    ValueError
        If the state file is damaged or belongs to other settings, or the loss is no number any more.
    """
    processes = Processes.here()
    run = _Run(module, config, device or torch.device("cpu"), beside)
    looked_at = check or watch
    between_s = SAVE_EVERY_SECONDS if save_every_s is None else save_every_s
    first = run.resumed(state_file) if state_file else 0
    saved_at, unsaved = time.monotonic(), False
    parts = processes.share(config.parts)
    places = [(step, part) for step in range(first, config.steps) for part in parts]
    ahead = prepared_ahead(batch_at, places, workers)
    taken, saved = first, first
    try:
        for step in range(first, config.steps):
            value = run.step(step, [next(ahead) for _ in parts], loss, processes)
            taken = step + 1
            yield StepDone(step + 1, value, run.learning_rate(step))
            if looked_at and _is_check(step + 1, config):
                yield CheckDone(step + 1, run.keep_if_better(looked_at(run.average)))
                if check and config.patience and processes.any(run.worse_checks >= config.patience):
                    break
            yield Progress(step + 1, config.steps, f"learning, loss {value:.3f}")
            if enough():
                return run.best()
            now = time.monotonic()
            out_of_time = step + 1 < config.steps and deadline < inf and processes.any(now > deadline)
            if state_file and processes.first and (out_of_time or now - saved_at > between_s):
                saved_at = now
                try:
                    run.save(state_file, step + 1)
                    saved = step + 1
                except OSError as error:
                    if out_of_time:
                        raise
                    if not unsaved:
                        yield Remark(f"{error} {UNSAVED}")
                    unsaved = True
            if out_of_time:
                return None
    except GeneratorExit:  # stopped between two steps
        if state_file and processes.first and taken > saved:
            with suppress(OSError):
                run.save(state_file, taken)
        raise
    return run.best() if check else run.average


def bfloat16_gains(device: torch.device, *, volumetric: bool) -> bool:
    """Whether automatic mixed precision in bfloat16 pays on this device.

    Never for 3-D convolutions on a CPU: with torch 2.13 their gradients in bfloat16 differ from run to run, and at
    times are no numbers (on small maps, in memory that held something else before).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and not volumetric and "avx512_bf16" in _cpu_flags()


class _Run:
    """Weights, their average, the optimiser and the best average so far."""

    def __init__(
        self, module: nn.Module, config: TrainingConfig, device: torch.device, beside: Beside | None = None
    ) -> None:
        self.module, self.config, self.device, self.beside = module.to(device), config, device, beside
        volumetric = any(parameter.dim() == 5 for parameter in module.parameters())
        self.format = torch.channels_last_3d if volumetric else torch.channels_last
        gains = bfloat16_gains(self.device, volumetric=volumetric)
        self.bfloat16 = gains if config.bfloat16 is None else config.bfloat16
        module.to(memory_format=self.format)  # type: ignore[call-overload]
        self.average = deepcopy(module).eval()
        if config.checkpointing:
            compute_twice(module)
        self.optimiser = torch.optim.AdamW(
            module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.best_loss, self.worse_checks = inf, 0
        self.best_state: dict[str, Any] | None = None

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step."""
        warm = max(1, round(self.config.warm_up * self.config.steps))
        if step < warm:
            return self.config.learning_rate * (step + 1) / warm
        if self.config.schedule == "constant":
            return self.config.learning_rate
        return self.config.learning_rate * 0.5 * (1 + cos(pi * (step - warm) / max(1, self.config.steps - warm)))

    def step(self, step: int, batches: Sequence[Batch], loss: Loss, processes: Processes) -> float:
        """Take one optimiser step on this process's parts and return its loss, a mean over all parts."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(step)
        self.module.train()
        if self.config.freeze_batch_norm:
            for layer in self.module.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        self.optimiser.zero_grad(set_to_none=True)
        before, after, total = [statistic.clone() for statistic in self._statistics()], [], 0.0
        for batch in batches:
            for kept, old in zip(self._statistics(), before, strict=True):
                kept.copy_(old)
            value = self._loss_of(batch, loss) / self.config.parts
            if not value.isfinite():
                raise ValueError(f"The loss is no number any more at step {step + 1}; try a smaller learning rate.")
            value.backward()
            total += float(value.detach())
            after.append([statistic.clone() for statistic in self._statistics()])
        with torch.no_grad():
            for kept, parts in zip(self._statistics(), zip(*after, strict=True), strict=True):
                kept.copy_(torch.stack(parts).sum(dim=0) / self.config.parts)
        total = processes.summed(total, self._gradients(), list(self._statistics()))
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self._average(min(self.config.ema_decay, (1 + step) / (10 + step)))
        return total

    def keep_if_better(self, loss: float) -> float:
        """Remember the averaged weights if no earlier ones were as good; return their loss."""
        if loss < self.best_loss:
            self.best_loss, self.worse_checks = loss, 0
            self.best_state = deepcopy(self.average.state_dict())
        else:
            self.worse_checks += 1
        return loss

    def best(self) -> nn.Module:
        """Return the averaged weights, those of the best check where there were checks."""
        if self.best_state is not None:
            self.average.load_state_dict(self.best_state)
        return self.average

    def save(self, path: Path, step: int) -> None:
        """Write all that is needed to go on, whole or not at all."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "step": step,
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": (self.best_loss, self.best_state, self.worse_checks),
            "torch_rng": torch.get_rng_state(),
        }
        write_tensors(path, state)

    def resumed(self, path: Path) -> int:
        """Take over a saved state, if there is one, and return the step to go on with."""
        if not path.exists():
            return 0
        state = read_tensors(path, self.device)
        if not self.config.is_as_saved(state["config"]):
            raise ValueError(f"{path.name} belongs to a training with other settings; give them, or start anew.")
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_loss, self.best_state, self.worse_checks = state["best"]
        torch.set_rng_state(state["torch_rng"].cpu())
        return int(state["step"])

    def _loss_of(self, batch: Batch, loss: Loss) -> Tensor:
        given, labels, annotated = batch
        streams = tuple(stream.to(self.device, memory_format=self.format) for stream in given)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.module(*streams)
        labels = labels.to(self.device)
        value = loss(logits, labels, annotated)
        return value if self.beside is None else value + self.beside(self.module, logits, (streams, labels, annotated))

    def _statistics(self) -> list[Tensor]:
        """Return the running means and variances."""
        return [buffer for buffer in self.module.buffers() if buffer.is_floating_point()]

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        for kept, new in zip(self.average.state_dict().values(), self.module.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _is_check(step: int, config: TrainingConfig) -> bool:
    return step == config.steps or step % max(1, config.steps // config.checks) == 0


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("ascii", "ignore")
    except OSError:
        return ""
