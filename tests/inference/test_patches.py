"""Overlapping patches blend into one answer, on every slice that was asked for."""

import numpy as np
import pytest
import torch

from napari_covseg.inference.patches import _patch_for, _windows, patch_proposals
from napari_covseg.jobs import Progress
from napari_covseg.networks import load
from napari_covseg.preprocess import Window
from napari_covseg.volume import Geometry, Volume

NAMES = ("background", "lung", "ggo", "consolidation", "effusion")
SCHEME = NAMES[2:]


class _ByGrey(torch.nn.Module):
    """Calls the air-filled lung and bright ground glass, voxel by voxel: the answer is the same in every patch."""

    def __init__(self):
        super().__init__()
        self.sizes = set()

    def forward(self, x):
        self.sizes.add(tuple(x.shape[2:]))
        bright = (x > 0.5).float()
        return 20 * torch.cat([torch.zeros_like(x), 1 - bright, bright, -torch.ones_like(x), -torch.ones_like(x)], 1)


def _scan(depth=90, height=200, width=150):
    rng = np.random.default_rng(0)
    hu = np.where(rng.random((depth, height, width)) < 0.5, -900, 100).astype(np.int16)
    affine = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 1]])
    return Volume(hu, Geometry(hu.shape, affine))


def _run(scan, slices, network=None):
    module = torch.nn.ModuleDict({"lesion": network or _ByGrey()})
    return list(patch_proposals(module, load("covid_segnet"), SCHEME, torch.device("cpu"), scan, slices))


def test_every_slice_comes_once_from_the_apex_down_and_is_right_to_the_voxel():
    scan = _scan()
    steps = _run(scan, range(90))
    slices = [step for step in steps if not isinstance(step, Progress)]
    assert [index for index, _ in slices] == list(range(90))
    for index, proposal in slices:
        assert np.array_equal(proposal.labels == 1, scan.hu[index] > 0)
        assert proposal.lung.all()


def test_slices_grow_while_patches_are_still_to_do():
    steps = _run(_scan(), range(90))
    first_slice = next(i for i, step in enumerate(steps) if not isinstance(step, Progress))
    assert any(isinstance(step, Progress) for step in steps[first_slice:])
    last = [step for step in steps if isinstance(step, Progress)][-1]
    assert last.done == last.total


def test_a_few_slices_of_a_thin_scan_are_padded_to_a_patch():
    scan = _scan(depth=9, height=40, width=30)
    slices = [step for step in _run(scan, (4, 2)) if not isinstance(step, Progress)]
    assert [index for index, _ in slices] == [2, 4]
    assert all(np.array_equal(p.labels == 1, scan.hu[index] > 0) for index, p in slices)


@pytest.mark.parametrize(
    ("depth", "height", "width", "window"),
    [
        (40, 200, 150, (40, 128, 128)),
        (41, 100, 150, (48, 104, 128)),
        (63, 128, 129, (64, 128, 128)),
        (90, 90, 90, (64, 96, 96)),
    ],
)
def test_the_window_is_no_larger_than_a_short_scan_needs(depth, height, width, window):
    scan, network = _scan(depth, height, width), _ByGrey()
    slices = [step for step in _run(scan, range(depth), network) if not isinstance(step, Progress)]
    assert network.sizes == {window}
    assert [index for index, _ in slices] == list(range(depth))
    assert all(np.array_equal(p.labels == 1, scan.hu[index] > 0) for index, p in slices)


def test_a_short_scan_that_fits_a_window_is_what_the_network_says_of_it_as_a_whole():
    """Nothing is padded, so nothing that is not in the scan has a say."""
    torch.manual_seed(0)
    network = load("covid_segnet").build(SCHEME, "compact")["lesion"].eval()
    scan = _scan(16, 40, 32)
    with torch.inference_mode():
        grey = Window(-1000, 400)(scan).hu
        expected = network(torch.from_numpy(grey)[None, None])[0].softmax(dim=0).numpy()
    slices = [step for step in _run(scan, range(16), network) if not isinstance(step, Progress)]
    found = np.stack([proposal.prediction.probabilities for _, proposal in slices], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "expected"), [(1, 8), (8, 8), (9, 16), (64, 64), (65, 64), (300, 64)])
def test_a_window_is_a_multiple_of_what_the_network_needs_and_at_most_its_patch(size, expected):
    assert _patch_for((size,), (64,), 8) == (expected,)


def test_windows_cover_every_voxel_and_overlap():
    covered = np.zeros((90, 200, 150), int)
    for window in _windows(covered.shape, (64, 128, 128), 0.25):
        covered[window] += 1
    assert covered.min() >= 1
    assert covered.max() > 1
