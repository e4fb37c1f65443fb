"""Structure–texture decomposition: a grey slice I is the sum of its structure S and its texture T.

The default filter is the interval-gradient one of H. Lee, J. Jeon, J. Kim and S. Lee, "Structure-Texture Decomposition
of Images with Interval Gradient", Computer Graphics Forum 36(6) (2017), as Elharrouss et al. use it (their section
3.1, eqs. 1–2). Provenance: it is written from the equations in specs/two_stream_segnet.md; no code is ported. The
release of Lee et al. claims non-commercial use only, for its code *and its algorithm*; five settings that Elharrouss et
al. do not print come from it (σ = 3, three pairs of passes, at most eight rounds, a tolerance of 0.002, the regulariser
ε·w²). Whoever cannot accept that takes ``method="gaussian"`` or ``method="tv"``, for which no such claim is known.

Lines run along axis 0 of an array (L, N): L pixels of each of N lines, as NumPy adds whole rows fastest. A slice is
filtered along its rows as its transpose, and in strips of lines that fit into the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, sqrt
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.volume import Volume

Method = Literal["interval_gradient", "gaussian", "tv"]
Plane = npt.NDArray[np.float32]

GRADIENT_FLOOR = 1e-4
"""ε_s of eq. 2."""

PASSES = 3
ROUNDS = 8
TOLERANCE = 0.002
STRIP = 64
MID_GREY = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Structure:
    """Keep what is homogeneous and what has an edge: the organs (step on grey values 0…1).

    Parameters
    ----------
    sigma
        Scale in pixels below which oscillation is texture.
    eps
        Regulariser of the local fit, in squared grey values: larger smooths edges more; the paper's range
        is 0.01² … 0.03².
    method
        The paper's ``interval_gradient``, or an unencumbered fallback: ``gaussian`` blurs with ``sigma`` alone;
        ``tv`` is total-variation denoising of weight √ε · σ.

    Raises
    ------
    ValueError
        If the scale or the regulariser is not positive, or there is no such method.
    """

    local: ClassVar[bool] = True

    sigma: float = 3.0
    eps: float = 0.03**2
    method: Method = "interval_gradient"

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.eps > 0):
            raise ValueError(f"Scale and regulariser must be positive, not {self.sigma} and {self.eps}.")
        if self.method not in get_args(Method):
            raise ValueError(f"There is no decomposition {self.method!r}; there are {', '.join(get_args(Method))}.")

    def __call__(self, volume: Volume, /) -> Volume:
        """Return the structure of each slice, (D, H, W) float32 in 0…1."""
        slices = np.empty(volume.geometry.shape, dtype=np.float32)
        for index, plane in enumerate(volume.hu):
            slices[index] = self._of(plane.astype(np.float32, copy=False))
        return replace(volume, hu=slices)

    def _of(self, grey: Plane) -> Plane:
        if self.method == "gaussian":
            return np.asarray(ndimage.gaussian_filter(grey, self.sigma, mode="nearest"), dtype=np.float32)
        if self.method == "tv":
            from skimage.restoration import denoise_tv_chambolle  # 0.3 s to import, and only this needs it

            return np.asarray(denoise_tv_chambolle(grey, weight=sqrt(self.eps) * self.sigma), dtype=np.float32)
        return _interval_gradient_structure(grey, self.sigma, self.eps)


@dataclass(frozen=True, slots=True)
class Texture:
    """Keep what oscillates, T = I − S: vessels, infiltrates, noise (step on grey values 0…1).

    The result is signed, on a CT mostly within ±0.2 and at single pixels up to ±0.8, and is fed as it is, neither
    shifted nor scaled: a store of prepared streams must hold signed values.

    Parameters
    ----------
    sigma, eps, method
        As in `Structure`; equal settings give the two parts of one decomposition.

    Raises
    ------
    ValueError
        As in `Structure`.
    """

    local: ClassVar[bool] = True

    sigma: float = 3.0
    eps: float = 0.03**2
    method: Method = "interval_gradient"

    def __post_init__(self) -> None:
        self._structure()

    def __call__(self, volume: Volume, /) -> Volume:
        """Return the texture of each slice, (D, H, W) float32, signed."""
        return replace(volume, hu=volume.hu.astype(np.float32, copy=False) - self._structure()(volume).hu)

    def _structure(self) -> Structure:
        return Structure(self.sigma, self.eps, self.method)


class _Rescaled(NamedTuple):
    """Lines with the gradients of their texture suppressed, (L, N), and the weights that did it."""

    lines: Plane
    weight: Plane


def _interval_gradient_structure(grey: Plane, sigma: float, eps: float) -> Plane:
    """Alternate local fits along x and y, guided by the last round's rescaled structure (step 4 of the spec).

    Every round starts from the image again; only its guides come from the round before.
    """
    kernel, radii = one_sided_gaussian(sigma), shrinking_radii(sigma)
    image = grey - MID_GREY  # halves what float32 has to square
    structure, before = image, None
    for _ in range(ROUNDS):
        guides = _rescaled(structure.T, kernel), _rescaled(structure, kernel)
        if before is not None and _settled(before, guides):
            break
        before, structure = guides, image
        for radius in radii:
            structure = _fitted(structure.T, guides[0], radius, eps).T
            structure = _fitted(structure, guides[1], radius, eps)
        np.clip(structure, -MID_GREY, MID_GREY, out=structure)
    return np.asarray(structure + MID_GREY, dtype=np.float32)


def one_sided_gaussian(sigma: float) -> list[float]:
    """w(x) = exp(−x² / 2σ²) for x = 0 … ⌈3σ⌉ − 1, of sum 1 (step 1)."""
    weights = [exp(-(x**2) / (2 * sigma**2)) for x in range(ceil(3 * sigma))]
    return [weight / sum(weights) for weight in weights]


def shrinking_radii(sigma: float) -> list[int]:
    """r_i = 3√3 σ 2^(N−i−1) / √(4^N − 1) for i = 0 … N − 1, rounded (step 4)."""
    return [round(3 * sqrt(3) * sigma * 2 ** (PASSES - i - 1) / sqrt(4**PASSES - 1)) for i in range(PASSES)]


def _settled(before: tuple[_Rescaled, _Rescaled], now: tuple[_Rescaled, _Rescaled]) -> bool:
    changes = [np.mean(np.square(new.weight - old.weight)) for old, new in zip(before, now, strict=True)]
    return bool(min(changes) <= TOLERANCE)


def _strips(lines: Plane) -> list[slice]:
    return [slice(start, start + STRIP) for start in range(0, lines.shape[1], STRIP)]


def _rescaled(lines: Plane, kernel: list[float]) -> _Rescaled:
    """Return the lines with rescaled gradients, all of them."""
    result = _Rescaled(np.empty(lines.shape, np.float32), np.empty(lines.shape, np.float32))
    for strip in _strips(lines):
        guide = _rescaled_strip(np.ascontiguousarray(lines[:, strip]), kernel)
        result.lines[:, strip], result.weight[:, strip] = guide
    return result


def _rescaled_strip(lines: Plane, kernel: list[float]) -> _Rescaled:
    """Rescale the gradients (eqs. 1 and 2) and add them up again along each line (step 3)."""
    gradient = np.zeros_like(lines)
    np.subtract(lines[1:], lines[:-1], out=gradient[:-1])
    interval = _interval_gradient(lines, kernel)
    agree = np.sign(gradient) == np.sign(interval)
    weight = np.abs(interval)
    weight += GRADIENT_FLOOR
    weight /= np.abs(gradient) + GRADIENT_FLOOR
    np.minimum(weight, 1, out=weight)
    rescaled = np.empty_like(lines)
    rescaled[0] = lines[0]
    np.multiply(gradient[:-1], weight[:-1] * agree[:-1], out=rescaled[1:])
    return _Rescaled(_summed_along(rescaled), weight)


def _interval_gradient(lines: Plane, kernel: list[float]) -> Plane:
    """(∇_Ω S)_p: the weighted mean of what follows p minus that of p and what precedes it, edges replicated."""
    length, reach = len(lines), len(kernel)
    padded = _edges_replicated(lines, reach)
    interval = np.zeros_like(lines)
    for distance, weight in enumerate(kernel):  # pairs, so that where nothing changes the sum is exactly 0
        after, before = reach + 1 + distance, reach - distance
        interval += np.float32(weight) * (padded[after : after + length] - padded[before : before + length])
    return interval


def _summed_along(lines: Plane) -> Plane:
    """Return the running sum, in place, by doubling: nine additions of whole rows, and float32 stays precise."""
    shift = 1
    while shift < len(lines):
        lines[shift:] += lines[:-shift]
        shift *= 2
    return lines


def _fitted(lines: Plane, guide: _Rescaled, radius: int, eps: float) -> Plane:
    """Return the lines as locally linear functions of their guides, all of them."""
    fitted = np.empty(lines.shape, np.float32)
    for strip in _strips(lines):
        guide_strip = _Rescaled(*(np.ascontiguousarray(part[:, strip]) for part in guide))
        fitted[:, strip] = _fitted_strip(np.ascontiguousarray(lines[:, strip]), guide_strip, radius, eps)
    return fitted


def _fitted_strip(lines: Plane, guide: _Rescaled, radius: int, eps: float) -> Plane:
    """Fit within a box around each pixel: a guided filter in one dimension (step 3)."""
    mean_guide, mean = _box_mean(guide.lines, radius), _box_mean(lines, radius)
    slope = _box_mean(guide.lines * lines, radius)
    slope -= mean_guide * mean
    np.maximum(slope, 0, out=slope)
    variance = _box_mean(np.square(guide.lines), radius)
    variance -= np.square(mean_guide)
    np.maximum(variance, 0, out=variance)  # rounding may leave a flat guide below 0
    variance += np.float32(eps) * np.square(guide.weight)
    slope /= variance
    offset = mean - slope * mean_guide
    return _box_mean(slope, radius) * guide.lines + _box_mean(offset, radius)


def _box_mean(lines: Plane, radius: int) -> Plane:
    """Return the mean of 2·radius + 1 pixels, edges replicated, from sums of 1, 2, 4 … pixels.

    A difference of running sums would need float64.
    """
    length, width = len(lines), 2 * radius + 1
    sums, size, start = _edges_replicated(lines, radius), 1, 0
    total = np.zeros_like(lines)
    while size <= width:
        if width & size:
            total += sums[start : start + length]
            start += size
        sums = sums[:-size] + sums[size:]
        size *= 2
    total *= np.float32(1 / width)
    return total


def _edges_replicated(lines: Plane, reach: int) -> Plane:
    """Return the lines with their ends repeated ``reach`` times before and ``reach + 1`` times after."""
    return np.take(lines, np.arange(-reach, len(lines) + reach + 1).clip(0, len(lines) - 1), axis=0)
