"""Structure and texture: what the decomposition promises, and the fast filter against the equations said slowly."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, exp, sqrt

import numpy as np
import pytest
from scipy import ndimage

from napari_covseg.preprocess import Structure, Texture, structure
from napari_covseg.volume import Geometry, Volume

METHODS = ("interval_gradient", "gaussian", "tv")


def grey_volume(*planes):
    grey = np.stack(planes).astype(np.float32)
    return Volume(grey, Geometry(grey.shape, np.diag([5.0, 0.7, 0.9, 1.0])), "case")


def structure_of(plane, **settings):
    return Structure(**settings)(grey_volume(plane)).hu[0]


def an_edge(size=64):
    """Grey 0.2 left and 0.8 right: a step of 0.6."""
    return np.repeat(np.where(np.arange(size) < size // 2, 0.2, 0.8)[None], size, axis=0)


def a_checkerboard(square=1, size=64):
    return 2.0 * ((np.indices((size, size)) // square).sum(axis=0) % 2) - 1


def something_like_lung(shape=(44, 70), seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.clip(smooth + 0.05 * rng.standard_normal(shape), 0, 1)


def plain_line(image, signal, sigma):
    """One line's rescaled reconstruction R and weights w, pixel by pixel from eqs. 1 and 2."""
    reach, last = ceil(3 * sigma), len(signal) - 1
    kernel = [exp(-(x**2) / (2 * sigma**2)) for x in range(reach)]
    at = [signal[min(max(p, 0), last)] for p in range(-reach, last + 2 + reach)]  # at[p + reach] is the signal at p
    reconstructed, weights = [image[0]], []
    for p in range(last + 1):
        gradient = at[p + 1 + reach] - at[p + reach]
        right = sum(w * at[p + 1 + x + reach] for x, w in enumerate(kernel)) / sum(kernel)
        left = sum(w * at[p - x + reach] for x, w in enumerate(kernel)) / sum(kernel)
        weights.append(min(1.0, (abs(right - left) + 1e-4) / (abs(gradient) + 1e-4)))
        agree = np.sign(gradient) == np.sign(right - left)
        reconstructed.append(reconstructed[-1] + (weights[-1] * gradient if agree else 0.0))
    return np.array(reconstructed[:-1]), np.array(weights)


def plain_fit(signal, reconstructed, weights, radius, eps):
    def box(values):
        extended = np.pad(values, radius, mode="edge")
        return np.array([extended[p : p + 2 * radius + 1].mean() for p in range(len(values))])

    covariance = box(reconstructed * signal) - box(reconstructed) * box(signal)
    variance = box(reconstructed**2) - box(reconstructed) ** 2
    slope = np.maximum(covariance, 0) / (np.maximum(variance, 0) + eps * weights**2)
    offset = box(signal) - slope * box(reconstructed)
    return box(slope) * reconstructed + box(offset)


def plain_structure(image, sigma, eps):
    """The four steps of the spec, line by line in float64; also the number of rounds."""
    radii = [round(3 * sqrt(3) * sigma * 2 ** (3 - i - 1) / sqrt(4**3 - 1)) for i in range(3)]
    result, before = image, None
    for rounds in range(8):
        guides = [
            [plain_line(start, line, sigma) for start, line in zip(i, r, strict=True)]
            for i, r in ((image, result), (image.T, result.T))
        ]
        weights = [np.array([w for _, w in direction]) for direction in guides]
        if before is not None and min(((w - b) ** 2).mean() for w, b in zip(weights, before, strict=True)) <= 0.002:
            return result, rounds
        before, result = weights, image
        for radius in radii:
            for direction in guides:  # rows, then columns
                lines = [plain_fit(x, *g, radius, eps) for x, g in zip(result, direction, strict=True)]
                result = np.array(lines).T
        result = np.clip(result, 0, 1)
    return result, 8


@pytest.mark.parametrize(("sigma", "eps"), [(3, 0.03**2), (2, 0.01**2), (1.5, 0.02**2)])
def test_the_fast_filter_says_what_the_equations_say(sigma, eps):
    image = something_like_lung((28, 40)).astype(np.float32).astype(np.float64)
    slow, rounds = plain_structure(image, sigma, eps)
    error = np.abs(structure_of(image, sigma=sigma, eps=eps) - slow)
    assert rounds > 1
    assert error.mean() < 1e-4
    assert np.quantile(error, 0.99) < 1e-3  # float32 tells in the variance of a guide that is all but flat


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grey", [0.0, 0.37, 1.0])
def test_a_constant_slice_is_all_structure(method, grey):
    np.testing.assert_allclose(structure_of(np.full((40, 30), grey), method=method), grey, atol=1e-6)


@pytest.mark.parametrize("across", [False, True])
def test_a_ramp_stays_a_ramp(across):
    ramp = np.repeat(np.linspace(0, 1, 512)[None], 40, axis=0)
    ramp = ramp.T if across else ramp
    assert np.abs(structure_of(ramp) - ramp).max() <= 0.0114


def test_an_edge_is_kept_where_a_blur_would_lose_it():
    assert np.abs(structure_of(an_edge()) - an_edge()).max() <= 0.009
    assert np.abs(structure_of(an_edge(), method="gaussian") - an_edge()).max() > 0.2


@pytest.mark.parametrize("sigma", [2, 3])
@pytest.mark.parametrize("square", [1, 2])
def test_texture_is_taken_off_an_edge_that_stays(sigma, square):
    checks = a_checkerboard(square)
    kept = structure_of(an_edge() + 0.04 * checks, sigma=sigma)
    inner = (slice(12, 52), slice(12, 24))
    assert abs((kept * checks)[inner].mean()) < 5e-5  # "texture left 0.0000"
    assert kept[inner].std() < 0.002
    edge = np.median(kept[12:52, 44:52]) - np.median(kept[12:52, 12:20])
    assert edge == pytest.approx(0.6, abs=0.005)


def test_a_scale_too_small_for_the_squares_leaves_them():
    checks = a_checkerboard(3)
    kept = structure_of(an_edge() + 0.04 * checks, sigma=1)
    assert (kept * checks)[12:52, 12:24].mean() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_structure_and_texture_add_up_to_the_slice(method):
    scan = grey_volume(something_like_lung(seed=1), something_like_lung(seed=2))
    parts = Structure(method=method)(scan), Texture(method=method)(scan)
    assert [part.hu.dtype for part in parts] == [np.float32, np.float32]
    np.testing.assert_allclose(parts[0].hu + parts[1].hu, scan.hu, atol=1e-7)
    assert parts[0].hu.min() >= 0
    assert parts[0].hu.max() <= 1
    assert parts[1].hu.min() < -0.02 < 0.02 < parts[1].hu.max()  # signed, as it is


@pytest.mark.parametrize("step", [Structure(), Texture(), Structure(method="tv")])
def test_slices_do_not_see_each_other_and_the_scan_stays_as_it_was(step):
    planes = [something_like_lung(seed=seed) for seed in (1, 2)]
    both = grey_volume(*planes)
    before = both.hu.copy()
    np.testing.assert_array_equal(step(both).hu[1], step(grey_volume(planes[1])).hu[0])
    np.testing.assert_array_equal(both.hu, before)
    assert step(both).geometry is both.geometry


def test_the_fallbacks_are_the_filters_they_are_named_for():
    plane = something_like_lung()
    blurred = ndimage.gaussian_filter(plane, 2, mode="nearest")
    np.testing.assert_allclose(structure_of(plane, sigma=2, method="gaussian"), blurred, atol=1e-5)
    variation = [np.abs(np.diff(p, axis=1)).sum() for p in (structure_of(plane, method="tv"), plane)]
    assert variation[0] < 0.5 * variation[1]


def test_where_the_strips_are_cut_does_not_matter(monkeypatch):
    plane = something_like_lung((50, 130))
    in_strips = structure_of(plane)
    monkeypatch.setattr(structure, "STRIP", 1000)
    np.testing.assert_array_equal(in_strips, structure_of(plane))


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 8, 20])
def test_a_box_mean_is_a_box_mean(radius):
    lines = something_like_lung((50, 7)).astype(np.float32)
    expected = ndimage.uniform_filter1d(lines, 2 * radius + 1, axis=0, mode="nearest")
    np.testing.assert_allclose(structure._box_mean(lines, radius), expected, atol=1e-6)


def test_the_radii_shrink_by_half_for_the_published_scale():
    assert structure.shrinking_radii(3.0) == [8, 4, 2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (5, 4)])
def test_a_slice_smaller_than_the_window_is_filtered_too(shape):
    plane = np.random.default_rng(0).random(shape)
    kept = structure_of(plane)
    assert kept.shape == shape
    assert np.isfinite(kept).all()


@pytest.mark.parametrize("step", [Structure, Texture])
@pytest.mark.parametrize("setting", [{"sigma": 0.0}, {"eps": 0.0}, {"method": "wavelet"}])
def test_settings_that_make_no_sense_are_refused(step, setting):
    with pytest.raises(ValueError, match=r"positive|wavelet"):
        replace(step(), **setting)
