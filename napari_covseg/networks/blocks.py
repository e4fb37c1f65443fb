"""Pieces that more than one paper uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return 3×3 convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def pad_to_multiple(x: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, ...]]:
    """Pad the spatial axes, centred and by replication, to a multiple; also return the crop that undoes it.

    Parameters
    ----------
    x
        (N, C, H, W) or (N, C, D, H, W).
    multiple
        What each spatial size must be divisible by (specs/common.md §1).
    """
    pads: list[int] = []
    crop = [slice(None), slice(None)]
    for size in x.shape[2:]:
        missing = -size % multiple
        before = missing // 2
        pads = [before, missing - before, *pads]
        crop.append(slice(before, before + size))
    if any(pads):
        x = functional.pad(x, pads, mode="replicate")
    return x, tuple(crop)


def parameter_count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def fold_seed(*parts: int) -> torch.Generator:
    """Return a CPU generator whose stream depends on the given numbers and nothing else."""
    generator = torch.Generator(device="cpu")
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + part + 1) % (2**63)
    generator.manual_seed(seed)
    return generator
