"""Slices decomposed at once on a device are what they are one by one on the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_covseg.inference import decomposition
from napari_covseg.inference.decomposition import prepared_on, structure_of
from napari_covseg.io import read_volume
from napari_covseg.io.sample import sample_scan
from napari_covseg.preprocess import Resize, Square, Structure, Texture, Window, prepared
from napari_covseg.volume import Geometry, Volume, cropped, reoriented

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))]
GREY = (Square(), Resize(256), Window(-1000, 400))


def grey_volume(grey):
    grey = np.stack(grey).astype(np.float32)
    return Volume(grey, Geometry(grey.shape, np.diag([5.0, 0.7, 0.7, 1.0])))


def sample_slices(*indices):
    scan = reoriented(read_volume(sample_scan()))
    _, height, width = scan.geometry.shape
    slabs = [cropped(scan, (index, 0, 0), (index + 1, height, width)) for index in indices]
    return grey_volume([prepared(slab, GREY).hu[0] for slab in slabs])


def slices_that_settle_at_different_times():
    """Flat, noise alone, and anatomy with noise: 1, 2 and more rounds."""
    rng = np.random.default_rng(0)
    noise = rng.random((60, 90))
    smooth = ndimage.gaussian_filter(rng.random((60, 90)), 4)
    anatomy = np.clip((smooth - smooth.min()) / np.ptp(smooth) + 0.05 * rng.standard_normal((60, 90)), 0, 1)
    return grey_volume([np.full((60, 90), 0.3), noise, anatomy])


def batched(volume, step, device="cpu"):
    with torch.inference_mode():
        return structure_of(torch.from_numpy(volume.hu).to(device), step.sigma, step.eps).cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("step", [Structure(), Structure(sigma=1.5, eps=0.01**2)])
def test_a_batch_of_ct_slices_is_the_step_slice_by_slice(step, device):
    slices = sample_slices(12, 32, 50)
    np.testing.assert_allclose(batched(slices, step, device), step(slices).hu, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_every_slice_of_a_batch_stops_by_itself(device, monkeypatch):
    slices, rounds = slices_that_settle_at_different_times(), []
    fitted = decomposition._fitted
    monkeypatch.setattr(
        decomposition, "_fitted", lambda lines, *rest: (rounds.append(len(lines)), fitted(lines, *rest))[1]
    )
    np.testing.assert_allclose(batched(slices, Structure(), device), Structure()(slices).hu, atol=1e-4)
    assert len(set(rounds)) == 3  # three slices, then two, then one
    assert rounds == sorted(rounds, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (5, 4)])
def test_a_slice_smaller_than_the_window_is_filtered_too(shape):
    volume = grey_volume(np.random.default_rng(0).random((2, *shape)))
    np.testing.assert_allclose(batched(volume, Structure()), Structure()(volume).hu, atol=1e-4)


@pytest.mark.parametrize("step", [Structure(), Texture(), Texture(sigma=2.0)])
def test_only_cuda_decomposes_and_says_what_the_step_says(step, monkeypatch):
    used = []

    def there(grey_NHW, sigma, eps):
        used.append((sigma, eps))
        return structure_of(grey_NHW, sigma, eps)

    monkeypatch.setattr(decomposition, "structure_of", there)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_: tensor)  # a CUDA of the mind
    slices = slices_that_settle_at_different_times()
    expected = step(slices)
    for device in ("cpu", "mps"):
        np.testing.assert_array_equal(prepared_on(torch.device(device), slices, (step,)).hu, expected.hu)
    assert used == []
    found = prepared_on(torch.device("cuda"), slices, (step,))
    assert used == [(step.sigma, step.eps)]
    np.testing.assert_allclose(found.hu, expected.hu, atol=1e-4)
    assert found.geometry is slices.geometry


@pytest.mark.parametrize("step", [Structure(method="gaussian"), Texture(method="tv"), Window(0, 1)])
def test_other_steps_stay_where_they_are_on_any_device(step):
    slices = slices_that_settle_at_different_times()
    np.testing.assert_array_equal(prepared_on(torch.device("cuda"), slices, (step,)).hu, step(slices).hu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_on_a_gpu_the_streams_are_the_processors():
    slices = sample_slices(32)
    for step in (Structure(), Texture()):
        np.testing.assert_allclose(prepared_on(torch.device("cuda"), slices, (step,)).hu, step(slices).hu, atol=1e-4)
