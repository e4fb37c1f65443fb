"""A network that learns: one optimiser step, the average of its weights, the best so far, and all of it on disk.

AdamW with a cosine schedule after a warm-up, gradient clipping, bfloat16 where the machine gains from it, and an
exponential moving average of the weights, which is what is kept. A step may be split into parts, which several
processes share out: batch norm then looks at a part, its running statistics are the mean over the parts, as are the
gradients, so that two processes with a part each do what one does with two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from math import cos, inf, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_covseg.jobs import LeftError
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.frugal import compute_twice
from napari_covseg.training.processes import Processes
from napari_covseg.training.source import Batch
from napari_covseg.training.tensor_files import read_tensors, write_tensors

Loss = Callable[[Tensor, Tensor, list[frozenset[str]]], Tensor]
"""From logits, labels and annotated classes to a scalar."""

Beside = Callable[[nn.Module, Tensor, Batch], Tensor]
"""From the network, its logits and the batch they are of to what is added to the loss; all on one device."""


class Learner:
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
                remedy = "; try a smaller learning rate" if self.beside is None else ""
                raise ValueError(f"The loss is no number any more at step {step + 1}{remedy}.")
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
            raise LeftError(f"{path.name} belongs to a training with other settings; give them, or start anew.")
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


def bfloat16_gains(device: torch.device, *, volumetric: bool) -> bool:
    """Whether automatic mixed precision in bfloat16 pays on this device.

    Never for 3-D convolutions on a CPU: with torch 2.13 their gradients in bfloat16 differ from run to run, and at
    times are no numbers (on small maps, in memory that held something else before).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and not volumetric and "avx512_bf16" in _cpu_flags()


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("ascii", "ignore")
    except OSError:
        return ""
