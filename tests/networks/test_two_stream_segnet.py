"""Two-stream SegNet: the counts, the unpooling and the cascade of the spec, not merely that it runs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_covseg.inference.cascade import slice_proposal
from napari_covseg.networks import load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.networks.zoo.two_stream_segnet import TwoStreamSegNet, unpooled
from napari_covseg.preprocess import Structure, Texture
from napari_covseg.volume import LESIONS, Geometry, Volume

SCHEME = ("ggo", "consolidation")
SPEC = load("two_stream_segnet")
ONE_CONVOLUTION = (1, 1, 1, 1, 1)
INDICES = ("concat", "structure", "texture", "none")


def streams(*size, n=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(n, 1, *size, generator=generator) for _ in range(2)]


def awake(network):
    """Return the network in evaluation with statistics of its own activations; a fresh one says one grey everywhere."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the calls below
    with torch.no_grad():
        for seed in range(3):
            network.train()(*streams(96, 96, n=2, seed=100 + seed))
    return network.eval()


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    stages = SPEC.build(SCHEME, "compact")
    for stage in stages.values():
        awake(stage)
    return stages


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 22_117_737),
        ({"unpool_indices": "structure"}, 12_234_346),
        ({"convs_per_block": ONE_CONVOLUTION}, 5_904_977),
        ({"unpool_indices": "structure", "convs_per_block": ONE_CONVOLUTION}, 4_125_202),
    ],
)
def test_a_stage_has_the_papers_parameter_count(settings, count):
    with torch.device("meta"):
        assert parameter_count(TwoStreamSegNet(2, **settings)) == count


def test_three_stages_reuse_one_class_with_weights_of_their_own():
    with torch.device("meta"):
        stages = SPEC.build(SCHEME, "paper")
    assert list(stages) == ["lung", "infection", "lesion"]
    assert {type(stage) for stage in stages.values()} == {TwoStreamSegNet}
    assert [stage.head.out_channels for stage in stages.values()] == [2, 2, 3]
    assert parameter_count(stages) == 3 * 22_117_737 + 9 * 64 + 1  # parameters() would count shared ones once


@pytest.mark.parametrize(("scheme", "count"), [(SCHEME, 1_789_660), ((*SCHEME, "effusion"), 1_789_805)])
def test_three_compact_stages_together_stay_within_the_budget(scheme, count):
    with torch.device("meta"):
        stages = SPEC.build(scheme, "compact")
    assert parameter_count(stages) == count <= 2_400_000
    assert stages["lesion"].head.out_channels == 1 + len(scheme)


def test_there_is_one_slope_per_layer_unless_asked_for_more():
    with torch.device("meta"):
        one, many = TwoStreamSegNet(2), TwoStreamSegNet(2, prelu_per_channel=True)
    slopes = [[m.weight.numel() for m in net.modules() if isinstance(m, nn.PReLU)] for net in (one, many)]
    assert slopes[0] == [1] * 39
    assert sum(slopes[1]) == 8_000


def test_unpooling_puts_values_back_at_the_stored_positions_for_both_halves():
    a, b = (torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    pooled = [functional.max_pool2d(x, 2, return_indices=True) for x in (a, b)]
    values, indices = (torch.cat(parts, dim=1) for parts in zip(*pooled, strict=True))
    back = unpooled(values, indices)
    for half, original in ((back[:, :3], a), (back[:, 3:], b)):
        largest = functional.interpolate(functional.max_pool2d(original, 2), scale_factor=2) == original
        assert torch.equal(half, original * largest)
        assert (half > 0).sum() == half.numel() // 4


def test_unpooling_is_torchs_own_but_runs_where_determinism_is_demanded():
    x, indices = functional.max_pool2d(torch.randn(2, 4, 16, 10), 2, return_indices=True)
    expected = functional.max_unpool2d(x, indices, 2)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(unpooled(x.requires_grad_(), indices), expected)
        unpooled(x, indices).square().sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(x.grad, 2 * x.detach())


@pytest.mark.parametrize(("indices", "heard"), [("structure", 0), ("texture", 1)])
def test_the_indices_are_those_of_the_stream_asked_for(indices, heard):
    network = TwoStreamSegNet(2, (4, 4, 4, 4, 4), ONE_CONVOLUTION, indices)
    x, *found = torch.rand(1, 4, 2, 2), torch.zeros(1, 4, 2, 2).long(), torch.zeros(1, 4, 2, 2).long()
    for index in found:
        _, index[:] = functional.max_pool2d(torch.rand(1, 4, 4, 4), 2, return_indices=True)
    assert torch.equal(network._upsampled(x, *found), unpooled(x, found[heard]))


def test_by_default_each_half_of_the_channels_is_unpooled_by_its_own_stream():
    torch.manual_seed(0)
    network = TwoStreamSegNet(2, (4, 4, 4, 4, 4), ONE_CONVOLUTION)
    pooled = [functional.max_pool2d(torch.rand(1, 4, 4, 4), 2, return_indices=True) for _ in range(2)]
    (a, a_indices), (b, b_indices) = pooled
    assert not torch.equal(a_indices, b_indices)
    back = network._upsampled(torch.cat([a, b], dim=1), a_indices, b_indices)
    assert torch.equal(back, torch.cat([unpooled(a, a_indices), unpooled(b, b_indices)], dim=1))


def test_the_first_stream_and_its_indices_come_first_into_the_decoder(compact):
    network, heard = compact["lung"], []
    a, b = streams(64, 64)
    with torch.inference_mode():
        (a_map, a_indices), (b_map, b_indices) = network.structure(a), network.texture(b)
        hook = network.decoders[0].register_forward_pre_hook(lambda _, x: heard.append(x[0]))
        network(a, b)
        hook.remove()
    assert torch.equal(heard[0], torch.cat([unpooled(a_map, a_indices[-1]), unpooled(b_map, b_indices[-1])], dim=1))


@pytest.mark.parametrize("indices", INDICES)
def test_gradient_reaches_every_weight(indices):
    torch.manual_seed(0)
    network = TwoStreamSegNet(3, (4, 6, 8, 8, 8), unpool_indices=indices)
    network(*streams(64, 64, n=2)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("size", [(160, 160), (369, 369), (512, 512), (128, 200)])
def test_any_size_comes_back_at_that_size(compact, size):
    with torch.inference_mode():
        logits = compact["lesion"](*streams(*size))
    assert logits.shape == (1, 3, *size)
    assert torch.isfinite(logits).all()


def test_evaluation_is_deterministic_and_a_slice_alone_equals_it_in_a_batch(compact):
    a, b = streams(96, 96, n=3)
    with torch.inference_mode():
        batch = compact["lung"](a, b)
        assert batch.std(dim=(0, 2, 3)).min() > 0.05
        assert torch.equal(batch, compact["lung"](a, b))
        assert torch.allclose(batch[1:2], compact["lung"](a[1:2], b[1:2]), atol=1e-4)


def test_both_streams_are_heard_and_are_not_interchangeable(compact):
    a, b = streams(64, 64)
    with torch.inference_mode():
        logits = compact["lung"](a, b)
        for others in ((a, torch.zeros_like(b)), (torch.zeros_like(a), b), (b, a)):
            assert (logits - compact["lung"](*others)).abs().mean() > 0.05


def test_the_paper_width_runs():
    network = SPEC.build(SCHEME, "paper")["infection"].eval()
    with torch.inference_mode():
        assert network(*streams(64, 64)).shape == (1, 2, 64, 64)


def test_the_first_stage_sees_structure_and_texture_the_others_masked_grey():
    lung, infection, lesion = SPEC.stages
    assert [stream.steps[-1] for stream in lung.streams] == [Structure(), Texture()]
    assert [stream.masked_by for stream in infection.streams] == [(), ("lung",)]
    assert [stream.masked_by for stream in lesion.streams] == [("lung",), ("infection",)]
    assert [stage.target for stage in SPEC.stages] == ["lung", "infection", "lesions"]
    assert [stage.channels(SCHEME) for stage in SPEC.stages] == [
        ("background", "lung"),
        ("background", "infection"),
        ("background", "ggo", "consolidation"),
    ]


class Says(nn.Module):
    """A stage that is sure of one class, on the left of a column, and remembers what it was shown."""

    def __init__(self, n_out, winner, columns=512):
        super().__init__()
        self.n_out, self.winner, self.columns, self.shown = n_out, winner, columns, []

    def forward(self, *inputs):
        self.shown = [x[0, 0].numpy() for x in inputs]
        logits = torch.zeros(1, self.n_out, *inputs[0].shape[2:])
        logits[:, self.winner, :, : self.columns] = 9.0
        logits[:, 0, :, self.columns :] = 9.0
        return logits


def test_nothing_outside_the_lung_or_the_infection_is_labelled_or_shown():
    stages = nn.ModuleDict({"lung": Says(2, 1, 256), "infection": Says(2, 1), "lesion": Says(3, 2)})
    hu = np.full((1, 512, 512), -200, np.int16)
    slab = Volume(hu, Geometry(hu.shape, np.diag([5.0, 0.7, 0.7, 1.0])))
    labels = slice_proposal(stages, SPEC, SCHEME, torch.device("cpu"), slab).labels
    assert (labels[..., :250] == LESIONS["consolidation"].value).all()
    assert not labels[..., 262:].any()
    shown = [x for name in ("infection", "lesion") for x in stages[name].shown]
    assert [bool(x[:, 256:].any()) for x in shown] == [True, False, False, False]
    assert all(x[:, :256].all() for x in shown)
