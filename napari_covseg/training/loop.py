"""The training loop: one page, told in steps, resumable.

AdamW with a cosine schedule after a warm-up, gradient clipping, bfloat16 where the machine gains from it, and an
exponential moving average of the weights, which is what is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_covseg.io import written
from napari_covseg.jobs import Job, Progress

Batch = tuple[tuple[Tensor, ...], Tensor, list[frozenset[str]]]
BatchSource = Callable[[int], Batch]
Loss = Callable[[Tensor, Tensor, list[frozenset[str]]], Tensor]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of one training; they go into the checkpoint."""

    steps: int
    batch: int = 4
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.03
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    crop: int = 256
    seed: int = 0
    freeze_batch_norm: bool = False


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimiser step: its number, from 1, and the loss of its batch."""

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
    minutes: float | None = None,
) -> Job[nn.Module | None]:
    """Train a network; yields `StepDone` and `Progress`, returns the averaged weights.

    Parameters
    ----------
    module
        The stage to train, changed in place.
    batch_at
        From step to batch; it depends on the step alone, so that a resumed training goes on where it was.
    loss
        From logits, labels and annotated classes to a scalar.
    config
        Settings.
    device
        Where to compute.
    state_file
        Saved every few minutes and resumed from where it exists.
    minutes
        Stop after this long; with a state file the training can go on later, and None is returned.
    """
    device = device or torch.device("cpu")
    module.to(device)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average = deepcopy(module).eval()
    first = _resumed(state_file, module, average, optimiser, config) if state_file else 0
    deadline = time.monotonic() + 60 * minutes if minutes else None
    saved_at = time.monotonic()
    for step in range(first, config.steps):
        streams, labels, annotated = batch_at(step)
        value = _step(module, optimiser, loss, streams, labels, annotated, device, config, step)
        _average(average, module, min(config.ema_decay, (1 + step) / (10 + step)))
        yield StepDone(step + 1, value)
        yield Progress(step + 1, config.steps, f"learning, loss {value:.3f}")
        now = time.monotonic()
        out_of_time = deadline is not None and now > deadline and step + 1 < config.steps
        if state_file and (out_of_time or now - saved_at > 120):
            _save_state(state_file, module, average, optimiser, config, step + 1)
            saved_at = now
        if out_of_time:
            return None
    return average


def bfloat16_gains(device: torch.device) -> bool:
    """Whether automatic mixed precision in bfloat16 pays on this device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and "avx512_bf16" in _cpu_flags()


def _step(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    streams: tuple[Tensor, ...],
    labels: Tensor,
    annotated: list[frozenset[str]],
    device: torch.device,
    config: TrainingConfig,
    step: int,
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * _schedule(step, config)
    module.train()
    if config.freeze_batch_norm:
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_gains(device)):
        logits = module(*(s.to(device, memory_format=torch.channels_last) for s in streams))
    value = loss(logits, labels.to(device), annotated)
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
    optimiser.step()
    return float(value.detach())


def _schedule(step: int, config: TrainingConfig) -> float:
    warm = max(1, round(config.warm_up * config.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + cos(pi * (step - warm) / max(1, config.steps - warm)))


@torch.no_grad()
def _average(average: nn.Module, module: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), module.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _save_state(
    path: Path,
    module: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: TrainingConfig,
    step: int,
) -> None:
    state: dict[str, Any] = {
        "config": asdict(config),
        "step": step,
        "module": module.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "torch_rng": torch.get_rng_state(),
    }
    with written(path) as draft:
        torch.save(state, draft)


def _resumed(
    path: Path,
    module: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: TrainingConfig,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["config"] != asdict(config):
        raise ValueError(
            f"{path.name} belongs to a training with other settings; give them, or start without --resume."
        )
    module.load_state_dict(state["module"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch_rng"])
    return int(state["step"])


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("ascii", "ignore")
    except OSError:
        return ""
