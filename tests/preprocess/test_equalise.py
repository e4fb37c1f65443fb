"""Histogram equalisation against its formula and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import exposure

from napari_covseg.preprocess import Equalise
from napari_covseg.volume import Geometry, Volume

KINDS = ("global", "clahe")


def grey_volume(grey):
    grey = np.asarray(grey, np.float32)
    return Volume(grey, Geometry(grey.shape, np.diag([5.0, 0.7, 0.9, 1.0])), "case")


def lungs(seed, shape=(3, 64, 48)):
    """Grey values crowded in the lower third, with exact zeros as outside the field of view."""
    grey = np.random.default_rng(seed).beta(2, 6, shape)
    grey[:, :5] = 0
    return grey.astype(np.float32)


def plainly_equalised(plane):
    """Say the OpenCV convention pixel by pixel: pixels not darker than mine, the darkest bin's set aside."""
    bins = [min(int(value * 256), 255) for value in plane.ravel()]
    darkest = bins.count(min(bins))
    share = {b: (sum(other <= b for other in bins) - darkest) / (len(bins) - darkest) for b in set(bins)}
    return np.array([share[b] for b in bins]).reshape(plane.shape)


@pytest.mark.parametrize("seed", range(3))
def test_every_slice_is_equalised_by_itself_as_the_formula_says(seed):
    volume = grey_volume(lungs(seed, (2, 24, 20)))
    equalised = Equalise()(volume).hu
    for plane, expected in zip(equalised, map(plainly_equalised, volume.hu), strict=True):
        np.testing.assert_allclose(plane, expected, atol=1e-6)


def test_it_is_scikit_images_distribution_with_its_first_bin_moved_to_zero():
    levels = (np.arange(256) + 0.5) / 256  # bin centres: where scikit-image does not interpolate
    plane = np.random.default_rng(0).choice(levels, (64, 64), p=np.linspace(2, 0, 256) / 256)
    plane[0, :2] = 0, 1  # so that scikit-image's bins span 0…1 too
    distribution = exposure.equalize_hist(plane, nbins=256)
    expected = (distribution - distribution.min()) / (1 - distribution.min())
    np.testing.assert_allclose(Equalise()(grey_volume(plane[None])).hu[0], expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_finite_float32_in_0_to_1_on_the_same_grid(kind):
    volume = grey_volume(lungs(0))
    equalised = Equalise(kind)(volume)
    assert equalised.hu.dtype == np.float32
    assert equalised.geometry is volume.geometry
    assert np.isfinite(equalised.hu).all()
    assert 0 <= equalised.hu.min() < equalised.hu.max() <= 1


def test_the_darkest_becomes_0_and_the_brightest_1():
    equalised = Equalise()(grey_volume(0.2 + lungs(0) / 2)).hu
    assert equalised.min(axis=(1, 2)).tolist() == [0, 0, 0]
    assert equalised.max(axis=(1, 2)).tolist() == [1, 1, 1]


def test_what_was_brighter_never_becomes_darker():
    plane = lungs(0)[0]
    order = plane.ravel().argsort()
    assert (np.diff(Equalise()(grey_volume(plane[None])).hu.ravel()[order]) >= 0).all()


def test_crowded_grey_values_are_spread_evenly():
    grey = np.random.default_rng(0).beta(2, 6, (1, 256, 256))
    counts, _ = np.histogram(Equalise()(grey_volume(grey)).hu, bins=8, range=(0, 1))
    np.testing.assert_allclose(counts / counts.mean(), 1, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_slice_returns_as_it_is_and_spoils_no_other(kind, value):
    grey = lungs(0)
    grey[1] = value
    equalised = Equalise(kind)(grey_volume(grey)).hu
    np.testing.assert_array_equal(equalised[1], np.float32(value))
    assert np.isfinite(equalised).all()
    np.testing.assert_array_equal(equalised[2], Equalise(kind)(grey_volume(grey[2:])).hu[0])


@pytest.mark.parametrize(("other", "told_apart"), [(100.5 / 256, False), (101 / 256, True)])
def test_only_values_in_different_bins_are_told_apart(other, told_apart):
    grey = np.full((1, 4, 4), 100 / 256)
    grey[0, 0, 0] = other
    assert (Equalise()(grey_volume(grey)).hu.max() == 1) == told_apart


@pytest.mark.parametrize("kind", KINDS)
def test_values_beyond_0_and_1_count_as_0_and_1(kind):
    grey = 4 * lungs(0) - 1
    equalised = Equalise(kind)
    np.testing.assert_array_equal(equalised(grey_volume(grey)).hu, equalised(grey_volume(grey.clip(0, 1))).hu)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constant", [False, True])
def test_the_input_stays_as_it_was(kind, constant):
    volume = grey_volume(np.full((1, 16, 16), 0.5) if constant else lungs(0))
    before = volume.hu.copy()
    Equalise(kind)(volume).hu[:] = 7
    np.testing.assert_array_equal(volume.hu, before)


def test_clahe_is_scikit_images():
    volume = grey_volume(lungs(0))
    expected = [exposure.equalize_adapthist(plane, nbins=256) for plane in volume.hu]
    np.testing.assert_allclose(Equalise("clahe")(volume).hu, expected, atol=1e-6)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="global, clahe"):
        Equalise("local")
