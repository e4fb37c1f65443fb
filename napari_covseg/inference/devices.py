"""Where the arithmetic happens."""

from __future__ import annotations

import torch


def chosen_device(name: str = "auto") -> torch.device:
    """Return a device by name; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, present in there.items() if present))
    if name not in there:
        raise ValueError(f"There is no device {name!r}; choose auto, cpu, cuda or mps.")
    if not there[name]:
        raise ValueError(f"This computer offers no {name} device; choose auto or cpu.")
    return torch.device(name)
