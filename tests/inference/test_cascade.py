"""Cascades look where earlier stages saw something; patches blend into the same slices; the lung comes along."""

import numpy as np
import pytest
import torch

from napari_covseg.inference import SliceDone, cascade, segmenting
from napari_covseg.inference.cascade import ROI_DILATION_PX, slice_proposal
from napari_covseg.io import read_volume
from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import Card, available, checkpoint, load
from napari_covseg.volume import cropped, reoriented

EXTENSION = ("ggo", "consolidation", "effusion")


@pytest.fixture
def scan(small_scan):
    return read_volume(small_scan)


def _checkpoint(key, scheme, folder):
    torch.manual_seed(0)
    card = Card(network=key, width="compact", scheme=scheme, trained_on="nothing")
    return checkpoint.save(load(key).build(scheme, "compact"), card, folder / f"{key}.safetensors")


@pytest.mark.parametrize("key", available())
@pytest.mark.parametrize("classes", ["paper", "extension"])
def test_every_network_goes_from_a_scan_to_labels_on_its_grid(key, classes, scan, tmp_path):
    scheme = load(key).scheme if classes == "paper" else EXTENSION
    steps = []
    result = drain(segmenting(_checkpoint(key, scheme, tmp_path), "cpu", reoriented(scan), (2, 3)), steps.append)
    done = [step for step in steps if isinstance(step, SliceDone)]
    assert sorted(step.index for step in done) == [2, 3]
    assert steps[-1] == done[-1] or isinstance(steps[-1], Progress)
    assert result.labels.geometry.same_grid(reoriented(scan).geometry)
    assert {result.labels.scheme[name].value for name in scheme} | {0} >= set(np.unique(result.labels.values))
    assert not result.labels.values[[0, 1, 4, 5]].any()
    knows_lung = any(stage.target == "lung" or "lung" in stage.channels(scheme) for stage in load(key).stages)
    assert (result.lung is not None) == knows_lung


class _Says(torch.nn.Module):
    """Stands where a stage's network would, with the answer a test wants, and keeps what it was shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.shown = logits, None

    def forward(self, *streams):
        self.shown = streams
        return self.logits


def _slab(scan):
    return cropped(reoriented(scan), (2, 0, 0), (3, 64, 64))


def test_a_later_stage_sees_only_what_the_earlier_one_left(scan):
    lung = torch.full((1, 1, 256, 256), -9.0)
    lung[..., 100:148, 100:148] = 9
    lesion = _Says(torch.zeros(1, 4, 256, 256))
    module = torch.nn.ModuleDict({"lung": _Says(lung), "lesion": lesion})
    proposal = slice_proposal(module, load("chs_net"), EXTENSION, torch.device("cpu"), _slab(scan))
    shown = lesion.shown[0][0, 0].numpy()
    d = ROI_DILATION_PX
    outside = shown.copy()
    outside[100 - d : 148 + d, 100 - d : 148 + d] = 0
    assert not outside.any()
    assert shown[100 - d, 125] > 0  # widened, since effusion lies beside the lung
    assert proposal.lung.sum() == 12 * 12  # the lung itself is not widened


def test_without_effusion_the_region_is_not_widened(scan):
    lung = torch.full((1, 1, 256, 256), -9.0)
    lung[..., 100:148, 100:148] = 9
    lesion = _Says(torch.zeros(1, 1, 256, 256))
    module = torch.nn.ModuleDict({"lung": _Says(lung), "lesion": lesion})
    slice_proposal(module, load("chs_net"), ("infection",), torch.device("cpu"), _slab(scan))
    assert not lesion.shown[0][0, 0, 99].any()


def test_effusion_is_never_lung(scan):
    lung = torch.full((1, 1, 256, 256), 9.0)
    effusion = torch.zeros(1, 4, 256, 256)
    effusion[:, 3, :, :128] = 9
    module = torch.nn.ModuleDict({"lung": _Says(lung), "lesion": _Says(effusion)})
    proposal = slice_proposal(module, load("chs_net"), EXTENSION, torch.device("cpu"), _slab(scan))
    assert (proposal.labels == 3).any()
    assert not (proposal.lung & (proposal.labels == 3)).any()


def test_nothing_is_labelled_outside_the_stage_it_lies_within(scan):
    size = 512
    lung = torch.zeros(1, 2, size, size)
    lung[:, 1, :, :256], lung[:, 0, :, 256:] = 9, 9
    everywhere = torch.zeros(1, 2, size, size)
    everywhere[:, 1] = 9
    ggo = torch.zeros(1, 3, size, size)
    ggo[:, 1] = 9
    module = torch.nn.ModuleDict({"lung": _Says(lung), "infection": _Says(everywhere), "lesion": _Says(ggo)})
    spec = load("two_stream_segnet")
    labels = slice_proposal(module, spec, ("ggo", "consolidation"), torch.device("cpu"), _slab(scan)).labels
    assert (labels[:, :31] == 1).all()
    assert not labels[:, 33:].any()


def test_a_scan_without_any_lung_gets_no_labels(scan):
    module = torch.nn.ModuleDict(
        {
            "lung": _Says(torch.stack([torch.ones(512, 512), torch.zeros(512, 512)])[None]),
            "infection": _Says(torch.ones(1, 2, 512, 512)),
            "lesion": _Says(torch.stack([torch.zeros(512, 512)] + [torch.ones(512, 512)] * 3)[None]),
        }
    )
    spec = load("two_stream_segnet")
    assert not slice_proposal(module, spec, EXTENSION, torch.device("cpu"), _slab(scan)).labels.any()


def test_streams_are_prepared_for_the_device_of_the_network(scan, monkeypatch):
    devices, prepared_on = [], cascade.prepared_on
    monkeypatch.setattr(
        cascade, "prepared_on", lambda device, *rest: (devices.append(device), prepared_on(device, *rest))[1]
    )
    module = torch.nn.ModuleDict({"lesion": _Says(torch.zeros(1, 4, 369, 369))})
    slice_proposal(module, load("res_att_unet"), EXTENSION, torch.device("cpu"), _slab(scan))
    assert devices == [torch.device("cpu")]
