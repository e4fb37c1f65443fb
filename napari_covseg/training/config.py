"""Settings of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from typing import Any, Literal


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
