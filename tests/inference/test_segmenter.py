"""From a scan to a proposal: on the scan's own grid, slice by slice, the same whatever the order."""

import numpy as np
import pytest
import torch

from napari_covseg.inference import Segmenter, SliceDone, chosen_device, segmenting
from napari_covseg.io import read_volume
from napari_covseg.jobs import Progress, drain
from napari_covseg.volume import LESIONS, Geometry, Volume, cropped, labels_on, reoriented


@pytest.fixture
def scan(small_scan):
    return read_volume(small_scan)


def test_a_slice_is_predicted_on_its_own_grid(untrained, scan):
    slab = cropped(reoriented(scan), (2, 0, 0), (3, 64, 64))
    prediction = Segmenter(untrained, "cpu").propose(slab).prediction
    assert prediction.names == ("background", "ggo", "consolidation", "effusion")
    assert prediction.probabilities.shape == (4, 64, 64)
    assert np.allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-3)


def test_finished_slices_come_one_by_one_in_the_order_asked_for(untrained, scan):
    steps = []
    result = drain(segmenting(untrained, "cpu", reoriented(scan), (3, 2, 4)), steps.append)
    done = [step for step in steps if isinstance(step, SliceDone)]
    assert [step.index for step in done] == [3, 2, 4]
    assert [step.done for step in steps if isinstance(step, Progress)] == [0, 1, 2, 3]
    assert all(np.array_equal(result.labels.values[step.index], step.labels) for step in done)
    assert result.slices == (2, 3, 4)
    assert not result.labels.values[[0, 1, 5]].any()


def test_the_order_of_slices_does_not_matter(untrained, scan):
    forth = drain(segmenting(untrained, "cpu", reoriented(scan), (1, 2)))
    back = drain(segmenting(untrained, "cpu", reoriented(scan), (2, 1)))
    assert np.array_equal(forth.labels.values, back.labels.values)


def test_the_files_voxel_order_does_not_matter(untrained, scan):
    """The same anatomy stored R A I gives the same labels in the same places."""
    other = reoriented(scan, "RAI")
    one = drain(segmenting(untrained, "cpu", reoriented(scan), (2,))).labels
    two = drain(segmenting(untrained, "cpu", reoriented(other), (2,))).labels
    assert np.array_equal(one.values, two.values)
    assert np.array_equal(
        labels_on(one, scan.geometry).values, labels_on(labels_on(two, other.geometry), scan.geometry).values
    )


def test_a_slice_that_is_not_square_is_padded_and_comes_back(untrained, scan):
    narrow = reoriented(Volume(scan.hu[:40], Geometry((40, 64, 6), scan.geometry.affine), "narrow"))
    assert drain(segmenting(untrained, "cpu", narrow, (0,))).labels.values.shape == (6, 64, 40)


def test_a_proposal_knows_what_made_it(untrained, scan):
    labels = drain(segmenting(untrained, "cpu", reoriented(scan), (0,))).labels
    assert labels.scheme is LESIONS
    assert labels.provenance.network == "res_att_unet"
    assert labels.provenance.checkpoint_sha256 == untrained.sha256


def test_the_device_is_chosen_or_refused():
    assert chosen_device("cpu").type == "cpu"
    assert chosen_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="no device 'tpu'"):
        chosen_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="offers no cuda"):
            chosen_device("cuda")
