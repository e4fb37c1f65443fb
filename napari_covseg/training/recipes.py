"""How a network is trained: as we ship it, or as its paper did."""

from __future__ import annotations

from typing import Literal

from napari_covseg.networks import NetworkSpec
from napari_covseg.preprocess import Resize
from napari_covseg.training.augment import SHIPPED
from napari_covseg.training.config import TrainingConfig

RecipeName = Literal["shipped", "paper"]

PATIENCE = 8
"""Of the shipped recipe: checks, out of 20, without a better one, two fifths of a training."""


def training_config(
    spec: NetworkSpec,
    recipe: RecipeName,
    *,
    steps: int,
    batch: int | None = None,
    learning_rate: float | None = None,
    parts: int = 1,
    seed: int = 0,
    patience: int | None = None,
) -> TrainingConfig:
    """Return the settings of a recipe.

    ``shipped``: AdamW, a cosine after a warm-up, cross-entropy plus Dice and `augment.SHIPPED`, the same for all five;
    a 3-D network learns on patches of 16 slices, for speed, and is shown up to 64 at once when it segments.
    ``paper``: Adam at the paper's rate, kept constant, its mixture of losses and its kinds of augmentation, on what it
    shows the network: whole slices, or patches of its size. Not the paper's: how far an augmentation goes (ours), the
    smoothing and the batch of the soft Dice (MONAI's, one for all), averaged weights, no decay of the rate.
    How a network is initialised its ``build`` says, whatever the recipe. Early stopping needs held-out patients.

    Parameters
    ----------
    spec
        The network.
    recipe
        Which.
    steps, parts, seed
        As in `TrainingConfig`.
    batch, learning_rate, patience
        Other than the recipe's.
    """
    patches = spec.patch is not None
    if recipe == "paper":
        depth, crop = (spec.patch[0], spec.patch[1]) if spec.patch else (1, _slice_side(spec))
        return TrainingConfig(
            steps=steps,
            batch=batch or spec.recipe.batch,
            parts=parts,
            learning_rate=learning_rate or spec.recipe.learning_rate,
            weight_decay=0.0,
            schedule="constant",
            warm_up=0.0,
            clip_norm=0.0,
            crop=crop,
            depth=depth,
            augmentation=spec.recipe.augmentation,
            loss=None,
            seed=seed,
            patience=spec.recipe.patience if patience is None else patience,
        )
    return TrainingConfig(
        steps=steps,
        batch=batch or (2 if patches else 4),
        parts=parts,
        learning_rate=learning_rate or 1.5e-3,
        crop=128 if patches else 256,
        depth=16 if patches else 1,
        augmentation=SHIPPED,
        seed=seed,
        patience=PATIENCE if patience is None else patience,
    )


def _slice_side(spec: NetworkSpec) -> int:
    """Return rows and columns of the slice a network of slices sees."""
    return next(step.side for step in spec.stages[0].streams[0].steps if isinstance(step, Resize))
