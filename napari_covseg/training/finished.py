"""A finished stage on disk, waiting for the others of its cascade, or to be judged."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_covseg.io import written
from napari_covseg.training.loop import TrainingConfig


def keep_finished(done: Path, network: nn.Module, config: TrainingConfig) -> None:
    """Write a trained stage and the settings it was asked for, whole or not at all."""
    weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    with written(done) as draft:
        torch.save({"config": asdict(config), "weights": weights}, draft)


def finished_in(done: Path, config: TrainingConfig) -> dict[str, torch.Tensor]:
    """Return the weights of a finished stage.

    Raises
    ------
    ValueError
        If it was trained with other settings.
    """
    kept: dict[str, Any] = torch.load(done, weights_only=True)
    if kept["config"] != asdict(config):
        raise ValueError(
            f"{done.name} belongs to a training with other settings; give them, or start without --resume."
        )
    weights: dict[str, torch.Tensor] = kept["weights"]
    return weights
