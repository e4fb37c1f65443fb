"""Augmentation that bridges 8-bit windows and true Hounsfield units, through MONAI's transforms on tensors."""

from __future__ import annotations

from math import radians

import numpy as np
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
)
from torch import Tensor

IMAGE, LABELS = "image", "labels"


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


def augmentation(crop: int, seed: int) -> Compose:
    """Return the shipped recipe for ``{"image": (S, H, W), "labels": (1, H, W)}`` float tensors, grey in 0…1.

    Rotation ±20°, scale 0.75–1.33, shift 12 %, crop to ``crop`` pixels, left–right flip; window, gamma, noise, blur.
    """
    both, image = [IMAGE, LABELS], [IMAGE]
    transform = Compose(
        [
            RandAffined(
                both,
                prob=1.0,
                rotate_range=radians(20),
                scale_range=(-0.25, 0.33),
                translate_range=crop // 4,
                spatial_size=(crop, crop),
                mode=("bilinear", "nearest"),
                padding_mode=("zeros", "zeros"),
            ),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            RandWindowd(image, spread=0.2, prob=0.7),
            RandAdjustContrastd(image, prob=0.4, gamma=(0.7, 1.5)),
            RandGaussianSmoothd(image, prob=0.15, sigma_x=(0.4, 1.0), sigma_y=(0.4, 1.0)),
            RandGaussianNoised(image, prob=0.3, std=0.03),
        ]
    )
    transform.set_random_state(seed)
    return transform


def augmented(
    transform: Compose,
    streams: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    labels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> tuple[Tensor, Tensor]:
    """Return one augmented slice: grey (S, H, W) in 0…1 and labels (H, W) uint8."""
    out = transform({IMAGE: torch.from_numpy(streams).float() / 255, LABELS: torch.from_numpy(labels)[None].float()})
    return out[IMAGE].as_tensor(), out[LABELS].as_tensor()[0].to(torch.uint8)
