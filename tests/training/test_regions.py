"""What a later stage learns within: what inference would give it, and no lesion of the reference outside."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_covseg.inference.cascade import ROI_DILATION_PX, region_seen, stage_prediction
from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import load
from napari_covseg.training.regions import with_regions
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED, hounsfield, stack_of
from napari_covseg.volume import Geometry, LabelMap, Volume

THREE = ("ggo", "consolidation", "effusion")
FULL = frozenset(THREE)
CPU = torch.device("cpu")
SIDE = 256


class Says(torch.nn.Module):
    """Finds lung in the left half of whatever it is shown."""

    def __init__(self, size=SIDE):
        super().__init__()
        self.logits = torch.full((1, 1, size, size), -9.0)
        self.logits[..., : size // 2] = 9

    def forward(self, _grey):
        return self.logits


def found(stack, network=None, key="chs_net", stage=0, scheme=THREE):
    (seen,) = drain(with_regions([stack], network or Says(), load(key).stages[stage], scheme, CPU))
    return seen.regions[load(key).stages[stage].name]


def disc(radius=30):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return (rows - 128) ** 2 + (columns - 190) ** 2 < radius**2


@pytest.fixture
def known(make_stack):
    labels = np.where(disc(), HEALTHY_LUNG, 0)[None].astype(np.uint8)
    labels[0, 120:130, 180:190] = 2
    return make_stack(labels, FULL | {"lung"})


def left_half():
    columns = np.arange(SIDE) < SIDE // 2
    return np.broadcast_to(columns, (SIDE, SIDE))


def test_a_later_stage_sees_what_an_earlier_one_took_in_error_and_all_that_belongs_there(known):
    wanted = ndimage.distance_transform_edt(~(left_half() | disc())) <= ROI_DILATION_PX
    assert np.array_equal(found(known)[0], wanted)


def test_without_effusion_in_the_scheme_nothing_is_widened(known):
    assert np.array_equal(found(known, scheme=("infection",))[0], left_half() | disc())


def test_an_unknown_lung_is_what_the_trained_stage_finds(make_stack):
    unknown = make_stack(np.zeros((1, SIDE, SIDE)), {"effusion"})
    region = found(unknown)[0]
    assert region[:, : SIDE // 2 + ROI_DILATION_PX].all()
    assert not region[:, SIDE // 2 + ROI_DILATION_PX + 1 :].any()


def test_what_is_known_of_an_otherwise_unknown_region_is_in_it(make_stack):
    labels = np.zeros((1, SIDE, SIDE), np.uint8)
    labels[0, 128, 220] = 3
    region = found(make_stack(labels, {"effusion"}))[0]
    assert region[128, 220]
    assert region[128, 220 + ROI_DILATION_PX]
    assert not region[10, 220]


@pytest.mark.parametrize("label", [1, 2, 4])
def test_an_opacity_is_in_the_region_also_where_no_lung_mask_is_known(label, make_stack):
    """It teaches the lung stage nothing there, but the stage after it is to see it."""
    labels = np.zeros((1, SIDE, SIDE), np.uint8)
    labels[0, 128, 220] = label
    region = found(make_stack(labels, FULL))[0]
    assert region[128, 220]
    assert not region[10, 220]


def test_slices_nobody_looked_at_are_asked_of_the_network_too(make_stack):
    region = found(make_stack(np.full((1, SIDE, SIDE), IGNORED, np.uint8), FULL | {"lung"}))[0]
    assert region[:, : SIDE // 2].all()
    assert not region[:, SIDE // 2 + ROI_DILATION_PX + 1 :].any()


def test_a_trained_stage_sees_on_a_stack_what_it_sees_at_inference():
    """The scan is on the network's grid and on the store's grey levels, so that nothing else can differ."""
    spec = load("two_stream_segnet")
    side = 512
    torch.manual_seed(1)
    module = spec.build(THREE, "compact")
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, side, side)), (0, 8, 8))
    hu = hounsfield(np.rint(np.clip(100 + 50 * noise / noise.std(), 0, 255)).astype(np.uint8))
    grid = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])
    scan = Volume(hu, Geometry(hu.shape, grid))
    labels = LabelMap(np.zeros(hu.shape, np.uint8), scan.geometry)
    kept = stack_of(scan, labels, None, spec, annotated=frozenset({"effusion"}), case="a", patient="p")
    assert np.abs(kept.grey_hu - hu).max() < 1e-3
    at_inference = {}
    for stage in spec.stages[:2]:
        network = module[stage.name]
        stage_prediction(network.train(), stage, THREE, CPU, scan, at_inference)  # batch norm gets to know the slice
        _, prediction = stage_prediction(network.eval(), stage, THREE, CPU, scan, at_inference)
        background, wanted = np.log(prediction.probabilities + 1e-9)
        network.head.bias.data[1] += float(np.quantile(background - wanted, 0.8))  # finds a fifth of the slice
        _, prediction = stage_prediction(network, stage, THREE, CPU, scan, at_inference)
        at_inference[stage.name] = region_seen(prediction.mask(), stage, THREE)
        (kept,) = drain(with_regions([kept], network, stage, THREE, CPU))
        assert np.array_equal(kept.regions[stage.name][0], at_inference[stage.name])
        assert 0.05 < prediction.mask().mean() < 0.95


def test_finding_regions_tells_nothing_about_how_long_the_learning_takes(known):
    told = []
    drain(with_regions([known, known], Says(), load("chs_net").stages[0], THREE, CPU), told.append)
    assert [(step.done, step.total, step.aside) for step in told if isinstance(step, Progress)] == [
        (0, 2, True),
        (1, 2, True),
    ]
