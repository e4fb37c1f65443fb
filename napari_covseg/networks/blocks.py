"""Pieces that more than one paper uses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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
