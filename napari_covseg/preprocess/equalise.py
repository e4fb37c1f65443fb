"""Histogram equalisation: the contrast of every slice spread over all its grey values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from skimage.exposure import equalize_adapthist

from napari_covseg.volume import Volume

BINS = 256

Plane = npt.NDArray[np.float32]
Kind = Literal["global", "clahe"]


@dataclass(frozen=True, slots=True)
class Equalise:
    """Equalise the histogram of each slice by itself, 256 bins on 0…1 (specs/masc_net.md, preprocessing 3).

    Parameters
    ----------
    kind
        ``global``: one histogram per slice, its lowest occupied bin mapped to 0 and its highest to 1, as OpenCV does.
        ``clahe``: contrast-limited, in tiles.

    Raises
    ------
    ValueError
        If there is no such kind.
    """

    local: ClassVar[bool] = False

    kind: Kind = "global"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"There is no equalisation {self.kind!r}; there are {', '.join(get_args(Kind))}.")

    def __call__(self, volume: Volume, /) -> Volume:
        """Return grey values 0…1 as float32, (D, H, W), of grey values 0…1; a constant slice returns as it is."""
        equalised = _global if self.kind == "global" else _clahe
        grey = np.empty(volume.hu.shape, dtype=np.float32)
        for index, plane in enumerate(volume.hu):
            grey[index] = equalised(np.clip(plane, 0.0, 1.0, dtype=np.float32))
        return replace(volume, hu=grey)


def _global(plane: Plane) -> Plane:
    bins = np.minimum(plane * BINS, BINS - 1).astype(np.uint8)
    counts = np.bincount(bins.ravel(), minlength=BINS)
    lowest = counts[bins.min()]
    if lowest == plane.size:
        return plane
    grey_of_bin = (counts.cumsum() - lowest) / (plane.size - lowest)
    equalised: Plane = grey_of_bin.astype(np.float32)[bins]
    return equalised


def _clahe(plane: Plane) -> Plane:
    if plane.min() == plane.max():
        return plane
    return np.asarray(equalize_adapthist(plane, nbins=BINS), dtype=np.float32)
