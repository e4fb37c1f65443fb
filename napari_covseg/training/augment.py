"""Augmentation that bridges 8-bit windows and true Hounsfield units, through MONAI's transforms on tensors.

An augmentation is a tuple of names, so that a paper's own is data in its spec. Slices of a stack are moved alike,
within their plane.
"""

from __future__ import annotations

from math import radians
from typing import Any

import torch
from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    Randomizable,
    RandRotate90d,
)
from torch import Tensor

GREY, LABELS, REGIONS = "grey", "labels", "regions"

SHIPPED = ("rotate", "rescale", "flip", "window", "gamma", "blur", "noise")
"""What the shipped weights are trained with."""

ROTATION_DEGREES = 20
ROWS_RESCALED = 0.25
LARGEST_ZOOM_OUT = 1.33
"""Of the columns; rows and columns are rescaled each for themselves."""

TRANSLATION = 0.1
"""Share of the side, along the rows' axis alone."""

WINDOW_SPREAD = 0.2
GAMMA = (0.7, 1.5)
BLUR_PX = (0.4, 1.0)
LARGEST_NOISE = 0.03
OFTEN = {"rotate_90": 0.75, "flip": 0.5, "window": 0.7, "gamma": 0.4, "blur": 0.15, "noise": 0.3}
"""Share of the samples that each befalls; those that are not here befall every one, by a random amount."""

REACH = 1.7
"""How many times as wide as the crop its surroundings must be, so that no rotation or scale looks beyond them."""


class RandWindowd(Randomizable, MapTransform):  # type: ignore[misc]
    """Show grey 0…1 through a slightly other window: shift both its ends and clip again.

    Parameters
    ----------
    spread
        Largest shift of either end, as a share of the window.
    prob
        How often.
    """

    def __init__(self, keys: list[str], spread: float, prob: float) -> None:
        super().__init__(keys)
        self.spread, self.prob = spread, prob

    def __call__(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the dictionary with its images re-windowed."""
        if self.R.random() >= self.prob:
            return data
        low, high = self.R.uniform(-self.spread, self.spread), 1 + self.R.uniform(-self.spread, self.spread)
        return {key: ((v - low) / (high - low)).clamp(0, 1) if key in self.keys else v for key, v in data.items()}


def augmentation(names: tuple[str, ...], side: int, seed: int) -> Compose:
    """Return the named augmentations of grey 0…1, labels and regions, each (slices, H, W) float.

    Parameters
    ----------
    names
        Of ``rotate`` (±20°), ``rescale`` (±25 % in rows, ±33 % in columns), ``translate`` (10 % up or down),
        ``rotate_90``, ``flip`` (left–right), ``window``, ``gamma``, ``blur``, ``noise``; ``random_crop`` is there for
        all.
    side
        Rows and columns of the result, cut from the middle.
    seed
        Of everything random in it.

    Raises
    ------
    ValueError
        If there is no augmentation of a name.
    """
    known = {"rotate", "rescale", "translate", "random_crop"}
    steps: list[Any] = [_moved(names, side)]
    for name, step in _simple_steps().items():
        known.add(name)
        if name in names:
            steps.append(step)
    if unknown := set(names) - known:
        raise ValueError(
            f"There is no augmentation {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}."
        )
    transform = Compose(steps)
    transform.set_random_state(seed)
    return transform


def augmented(transform: Compose, grey: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return grey 0…1, labels (uint8) and regions (bool) of one sample after augmentation, each (slices, H, W)."""
    moved = transform({GREY: grey, LABELS: labels.float(), REGIONS: regions.float()})
    return (
        moved[GREY].as_tensor(),
        moved[LABELS].as_tensor().round().to(torch.uint8),
        moved[REGIONS].as_tensor() > 0.5,
    )


def _moved(names: tuple[str, ...], side: int) -> RandAffined:
    return RandAffined(
        [GREY, LABELS, REGIONS],
        prob=1.0,
        rotate_range=radians(ROTATION_DEGREES) if "rotate" in names else 0.0,
        scale_range=(-ROWS_RESCALED, LARGEST_ZOOM_OUT - 1) if "rescale" in names else 0.0,  # ± so much, an axis each
        translate_range=TRANSLATION * side if "translate" in names else 0.0,
        spatial_size=(side, side),
        mode=("bilinear", "nearest", "nearest"),
        padding_mode="zeros",
    )


def _simple_steps() -> dict[str, Any]:
    everything, grey = [GREY, LABELS, REGIONS], [GREY]
    return {
        "rotate_90": RandRotate90d(everything, prob=OFTEN["rotate_90"], max_k=3),
        "flip": RandFlipd(everything, prob=OFTEN["flip"], spatial_axis=1),
        "window": RandWindowd(grey, spread=WINDOW_SPREAD, prob=OFTEN["window"]),
        "gamma": RandAdjustContrastd(grey, prob=OFTEN["gamma"], gamma=GAMMA),
        "blur": RandGaussianSmoothd(grey, prob=OFTEN["blur"], sigma_x=BLUR_PX, sigma_y=BLUR_PX),
        "noise": RandGaussianNoised(grey, prob=OFTEN["noise"], std=LARGEST_NOISE),
    }
