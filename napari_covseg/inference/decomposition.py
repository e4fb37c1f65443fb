"""Structure and texture of many slices at once, on the device where the networks are.

The same filter as `preprocess.structure`, where its source and its provenance are said, in the same order of
arithmetic: the fit divides by the variance of a guide that may be all but flat, where the last bit of a float32 tells.

Shape suffixes: N slices, L pixels of each of M lines; a slice is filtered along its rows as its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from napari_covseg.preprocess import Step, Structure, Texture
from napari_covseg.preprocess.structure import (
    GRADIENT_FLOOR,
    MID_GREY,
    ROUNDS,
    TOLERANCE,
    one_sided_gaussian,
    shrinking_radii,
)
from napari_covseg.volume import Volume


def prepared_on(device: torch.device, volume: Volume, steps: Sequence[Step]) -> Volume:
    """Return the volume after every step in turn; on CUDA its slices are decomposed there, all at once."""
    for step in steps:
        if device.type == "cuda" and isinstance(step, Structure | Texture) and step.method == "interval_gradient":
            volume = _decomposed(device, volume, step)
        else:
            volume = step(volume)
    return volume


def structure_of(grey_NHW: Tensor, sigma: float, eps: float) -> Tensor:
    """Return the structure of each slice, (N, H, W) in 0…1, of grey values 0…1; the settings are `Structure`'s.

    Every slice stops by itself, where its own guides have settled, and is not filtered any further.
    """
    image_NHW = grey_NHW - float(MID_GREY)
    result_NHW, moving, before = image_NHW.clone(), torch.arange(len(image_NHW), device=image_NHW.device), None
    for _ in range(ROUNDS):
        guides = tuple(_rescaled(lines, sigma) for lines in (result_NHW[moving].mT, result_NHW[moving]))
        if before is not None:
            still = ~_settled(before, guides)
            moving, guides = moving[still], tuple(_Guide(*(part[still] for part in guide)) for guide in guides)
        if not len(moving):
            break
        before, structure_NHW = guides, image_NHW[moving]
        for radius in shrinking_radii(sigma):
            structure_NHW = _fitted(structure_NHW.mT, guides[0], radius, eps).mT
            structure_NHW = _fitted(structure_NHW, guides[1], radius, eps)
        result_NHW[moving] = structure_NHW.clamp(-float(MID_GREY), float(MID_GREY))
    return result_NHW + float(MID_GREY)


class _Guide(NamedTuple):
    """Lines with the gradients of their texture suppressed, (N, L, M), and the weights that did it."""

    lines: Tensor
    weight: Tensor


def _decomposed(device: torch.device, volume: Volume, step: Structure | Texture) -> Volume:
    grey_NHW = torch.from_numpy(volume.hu).to(device, torch.float32)
    part_NHW = structure_of(grey_NHW, step.sigma, step.eps)
    if isinstance(step, Texture):
        part_NHW = grey_NHW - part_NHW
    return replace(volume, hu=part_NHW.cpu().numpy())


def _settled(before: Sequence[_Guide], now: Sequence[_Guide]) -> Tensor:
    changes = [(n.weight - b.weight).square().mean(dim=(1, 2)) for b, n in zip(before, now, strict=True)]
    return torch.minimum(*changes) <= TOLERANCE


def _rescaled(lines_NLM: Tensor, sigma: float) -> _Guide:
    """Rescale the gradients (eqs. 1 and 2) and add them up again along each line (step 3)."""
    gradient = torch.zeros_like(lines_NLM)
    gradient[:, :-1] = lines_NLM[:, 1:] - lines_NLM[:, :-1]
    interval = _interval_gradient(lines_NLM, one_sided_gaussian(sigma))
    weight = ((interval.abs() + GRADIENT_FLOOR) / (gradient.abs() + GRADIENT_FLOOR)).clamp_max(1)
    agree = gradient.sign() == interval.sign()
    rescaled = torch.cat([lines_NLM[:, :1], gradient[:, :-1] * (weight * agree)[:, :-1]], dim=1)
    return _Guide(_summed_along(rescaled), weight)


def _interval_gradient(lines_NLM: Tensor, kernel: Sequence[float]) -> Tensor:
    """(∇_Ω S)_p: the weighted mean of what follows p minus that of p and what precedes it, edges replicated."""
    length, reach = lines_NLM.shape[1], len(kernel)
    padded = _edges_replicated(lines_NLM, reach)
    interval = torch.zeros_like(lines_NLM)
    for distance, weight in enumerate(kernel):
        after, before = reach + 1 + distance, reach - distance
        interval = interval + weight * (padded[:, after : after + length] - padded[:, before : before + length])
    return interval


def _summed_along(lines_NLM: Tensor) -> Tensor:
    """Return the running sum, by doubling."""
    step = 1
    while step < lines_NLM.shape[1]:
        lines_NLM = torch.cat([lines_NLM[:, :step], lines_NLM[:, step:] + lines_NLM[:, :-step]], dim=1)
        step *= 2
    return lines_NLM


def _fitted(lines_NLM: Tensor, guide: _Guide, radius: int, eps: float) -> Tensor:
    """Fit within a box around each pixel: a guided filter in one dimension (step 3)."""
    mean_guide, mean = _box_mean(guide.lines, radius), _box_mean(lines_NLM, radius)
    covariance = (_box_mean(guide.lines * lines_NLM, radius) - mean_guide * mean).clamp_min(0)
    variance = (_box_mean(guide.lines.square(), radius) - mean_guide.square()).clamp_min(0)
    slope = covariance / (variance + eps * guide.weight.square())
    offset = mean - slope * mean_guide
    return _box_mean(slope, radius) * guide.lines + _box_mean(offset, radius)


def _box_mean(lines_NLM: Tensor, radius: int) -> Tensor:
    """Return the mean of 2·radius + 1 pixels, edges replicated, from sums of 1, 2, 4 … pixels."""
    length, width = lines_NLM.shape[1], 2 * radius + 1
    sums, size, start = _edges_replicated(lines_NLM, radius), 1, 0
    total = torch.zeros_like(lines_NLM)
    while size <= width:
        if width & size:
            total = total + sums[:, start : start + length]
            start += size
        sums = sums[:, :-size] + sums[:, size:]
        size *= 2
    return total * (1 / width)


def _edges_replicated(lines_NLM: Tensor, reach: int) -> Tensor:
    """Return the lines with their ends repeated ``reach`` times before and ``reach + 1`` times after."""
    length = lines_NLM.shape[1]
    places = torch.arange(-reach, length + reach + 1, device=lines_NLM.device).clamp(0, length - 1)
    return lines_NLM.index_select(1, places)
