"""Training in less memory: activations computed twice, and a ladder of settings that each need less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from napari_covseg.training.config import TrainingConfig

SMALLEST_CROP = 96
CROP_STEP = 32
"""Sides of a crop are multiples of this, which every network takes without padding."""


def compute_twice(module: nn.Module) -> None:
    """Make the blocks of a network keep no activations within themselves: the backward pass computes them again.

    Batch norms that are not frozen then see every batch twice; their running statistics follow it the faster.
    """
    for block in _blocks(module):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def ladder(config: TrainingConfig, device: torch.device, multiple: int) -> Iterator[tuple[str, TrainingConfig, str]]:
    """Yield settings that need less and less memory: what is said of each, the settings, and the device's type.

    Smaller batches come first, then mixed precision, smaller crops, activations computed twice, and the CPU.

    Parameters
    ----------
    config
        What did not fit.
    device
        Where it did not.
    multiple
        Of the sides of a crop, as the spec says.
    """
    on = device.type
    while config.batch > 1:
        config = replace(config, batch=config.batch // 2)
        yield f"with {config.batch} at a time", config, on
    if on == "cuda" and config.bfloat16 is not True and torch.cuda.is_bf16_supported():
        config = replace(config, bfloat16=True)
        yield "in mixed precision", config, on
    step = max(CROP_STEP, multiple)
    while config.crop > SMALLEST_CROP:
        config = replace(config, crop=max(SMALLEST_CROP, config.crop * 3 // 4 // step * step))
        yield f"with pieces of {config.crop} pixels", config, on
    if not config.checkpointing:
        config = replace(config, checkpointing=True)
        yield "computing activations twice", config, on
    if on != "cpu":
        yield "on the CPU, which takes longer", replace(config, bfloat16=None), "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a device or of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of a network that its ``forward`` calls: its children, and those in its lists."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _blocks(child)
        elif any(True for _ in child.parameters()):
            yield child
