"""COVID-SegNet: what the paper promises, not merely that it runs."""

import pytest
import torch

from napari_covseg.networks import load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.networks.zoo.covid_segnet import (
    ContrastBranch,
    COVIDSegNet,
    FeatureVariation,
    PositionBranch,
    ProgressivePyramid,
    ResidualBlock,
    background_lung_and,
)

PAPER = ("infection",)
SCHEME = ("ggo", "consolidation", "effusion")
PAPER_PARAMETERS = 70_373_446
COMPACT_PARAMETERS = 1_101_838


def _counted(**settings):
    with torch.device("meta"):
        return parameter_count(COVIDSegNet(**settings))


def test_the_paper_width_has_the_papers_parameter_count():
    with torch.device("meta"):
        count = parameter_count(load("covid_segnet").build(PAPER, "paper"))
    assert count == PAPER_PARAMETERS
    assert count == pytest.approx(70_373_000, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"fv_levels": (1, 2, 3)}, 35_146_310),
        ({"fv_levels": ()}, 23_401_539),
        ({"fv_levels": (1, 2, 3, 4)}, 70_933_063),
        ({"contrast": "channel"}, 70_545_923),
        ({"contrast_reduction": 4}, 70_286_982),
        ({"contrast_kernel": 3}, 74_857_926),
        ({"fv_first": False}, PAPER_PARAMETERS),
        ({"downsample": "max"}, PAPER_PARAMETERS),
        ({"upsample": "trilinear"}, PAPER_PARAMETERS),
    ],
    ids=[
        "FV at E1-E3",
        "no FV",
        "FV everywhere",
        "channel attention",
        "narrower contrast branch",
        "Cov3 to the letter",
        "residual first",
        "pooling",
        "interpolation",
    ],
)
def test_each_variant_has_its_parameter_count(settings, count):
    assert _counted(**settings) == count


@pytest.mark.parametrize("scheme", [PAPER, SCHEME])
def test_the_compact_width_stays_within_its_budget(scheme):
    count = parameter_count(load("covid_segnet").build(scheme, "compact"))
    assert count == COMPACT_PARAMETERS + (len(scheme) - 1) * 9  # 8 weights and a bias per further class
    assert count <= 2_400_000


def test_the_channels_are_background_lung_and_the_lesions():
    assert background_lung_and(PAPER) == ("background", "lung", "infection")
    assert background_lung_and(SCHEME) == ("background", "lung", "ggo", "consolidation", "effusion")


def test_the_spec_says_its_patch_and_the_patch_needs_no_padding():
    spec = load("covid_segnet")
    assert (spec.grain, spec.patch) == ("patch", (64, 128, 128))
    assert all(size % spec.multiple_of == 0 for size in spec.patch)


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return load("covid_segnet").build(SCHEME, "compact")["lesion"].eval()


@pytest.mark.parametrize("size", [(48, 100, 100), (16, 32, 32), (7, 20, 33)])
def test_any_size_comes_back_at_that_size(compact, size):
    with torch.inference_mode():
        assert compact(torch.rand(1, 1, *size)).shape == (1, 5, *size)


def test_a_patch_that_needs_padding_is_the_middle_of_the_padded_patch(compact):
    x = torch.rand(1, 1, 14, 24, 24)
    padded = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    with torch.inference_mode():
        assert torch.allclose(compact(x), compact(padded)[:, :, 1:-1], atol=1e-5)


def test_the_paper_width_sees_a_small_patch():
    network = load("covid_segnet").build(PAPER, "paper")["lesion"].eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 16, 32, 32)).shape == (1, 3, 16, 32, 32)


@pytest.mark.parametrize(
    "settings",
    [
        {"fv_levels": (1, 2, 3, 4)},
        {"fv_first": False},
        {"contrast": "channel"},
        {"contrast_reduction": 4, "contrast_kernel": 3},
        {"paspp_residual": "outputs"},
        {"paspp_dilations": (1, 2, 3, 4)},
        {"downsample": "max"},
        {"downsample": "avg"},
        {"upsample": "trilinear"},
    ],
    ids=str,
)
def test_every_reading_of_the_paper_gives_logits_on_the_grid_of_the_patch(settings):
    network = COVIDSegNet(3, base_channels=4, **settings).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


def test_evaluation_is_deterministic(compact):
    x = torch.rand(1, 1, 16, 32, 32)
    with torch.inference_mode():
        assert torch.equal(compact(x), compact(x))


def test_a_patch_alone_equals_the_patch_in_a_batch(compact):
    x = torch.rand(3, 1, 16, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(compact(x)[1:2], compact(x[1:2]), atol=1e-4)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = load("covid_segnet").build(SCHEME, "compact")
    network["lesion"](torch.rand(2, 1, 16, 32, 32)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


R, FV, PASPP = ResidualBlock, FeatureVariation, ProgressivePyramid


@pytest.mark.parametrize(
    ("settings", "encoders"),
    [
        ({}, [[R], [FV, R], [FV, R], [FV, PASPP]]),
        ({"fv_first": False}, [[R], [R, FV], [R, FV], [FV, PASPP]]),
        ({"fv_levels": (1, 2, 3)}, [[R, FV], [FV, R], [FV, R], [PASPP]]),
    ],
    ids=str,
)
def test_features_vary_before_the_residual_block_and_always_before_the_pyramid(settings, encoders):
    with torch.device("meta"):
        network = COVIDSegNet(**settings)
    assert [[type(layer) for layer in encoder] for encoder in network.encoders] == encoders


def test_logits_are_not_clipped_at_zero(compact):
    with torch.inference_mode():
        logits = compact(torch.rand(1, 1, 16, 32, 32))
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize("channels_in", [1, 8], ids=["projected shortcut", "identity shortcut"])
def test_a_residual_block_is_its_rectified_shortcut_where_the_transform_is_silent(channels_in):
    block = ResidualBlock(channels_in, 8).eval()
    torch.nn.init.zeros_(block.transform[-1].weight)
    x = torch.randn(1, channels_in, 4, 4, 4)
    assert torch.equal(block(x), block.shortcut(x).relu())


def test_the_global_contrast_weight_is_one_number_per_sample():
    torch.manual_seed(0)
    weight = ContrastBranch(64)(torch.randn(3, 64, 4, 6, 6))
    assert weight.shape == (3, 1, 1, 1, 1)
    assert weight.unique().numel() == 3
    assert 0 <= weight.min() <= weight.max() <= 1


@pytest.mark.parametrize("contrast", ["global", "channel"])
def test_a_contrast_kernel_of_3_only_ever_acts_with_its_centre(contrast):
    torch.manual_seed(0)
    wide, narrow, f = ContrastBranch(8, contrast, kernel=3), ContrastBranch(8, contrast), torch.randn(2, 8, 4, 6, 6)
    for index in (1, 3):
        narrow.gate[index].weight.data = wide.gate[index].weight.data[..., 1:2, 1:2, 1:2]
        narrow.gate[index].bias.data = wide.gate[index].bias.data
    assert torch.allclose(wide(f), narrow(f), atol=1e-6)


def test_channel_contrast_is_one_number_per_channel():
    torch.manual_seed(0)
    weight = ContrastBranch(64, contrast="channel")(torch.randn(3, 64, 4, 6, 6))
    assert weight.shape == (3, 64, 1, 1, 1)
    assert weight[0].unique().numel() > 60  # 64 weights, some of which may round to the same float


def test_the_contrast_weight_sees_the_average_only():
    torch.manual_seed(0)
    branch, f = ContrastBranch(64), torch.randn(1, 64, 4, 6, 6)
    shuffled = f.flatten(2)[:, :, torch.randperm(4 * 6 * 6)].view_as(f)
    assert torch.allclose(branch(f), branch(shuffled), atol=1e-6)
    assert not torch.allclose(branch(f), branch(f + 1), atol=1e-6)


def test_the_position_map_lies_in_0_to_1_with_the_shape_of_the_features():
    f = 10 * torch.randn(2, 8, 4, 6, 6)
    attention = PositionBranch(8)(f)
    assert attention.shape == f.shape
    assert 0 <= attention.min() < attention.max() <= 1


@pytest.mark.parametrize("contrast", ["global", "channel"])
def test_feature_variation_is_equations_1_to_4_written_out(contrast):
    torch.manual_seed(0)
    block, x = FeatureVariation(8, contrast).eval(), torch.randn(2, 8, 4, 6, 6)
    f = block.project(x)
    weight = block.contrast.gate(f).expand_as(f)  # F'_g, "obtained via expansion"
    attention = block.position.attention(f)
    expected = x + block.fuse(torch.cat([weight * f, attention * f, f], dim=1))
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_feature_variation_is_the_identity_where_the_fusion_is_silent():
    block = FeatureVariation(8).eval()
    torch.nn.init.zeros_(block.fuse[1].weight)
    x = torch.randn(1, 8, 4, 4, 4)
    assert torch.equal(block(x), x)


# How often p1..p4 and d1..d4 go into the sums of eq. 7, per branch.
INPUTS = ([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], torch.eye(4).tolist())
OUTPUTS = ([[0] * 4] * 4, [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 2, 1], [0, 0, 1, 2]])


@pytest.mark.parametrize(("residual", "times"), [("inputs", INPUTS), ("outputs", OUTPUTS)])
def test_the_pyramid_is_equations_6_to_9_written_out(residual, times):
    torch.manual_seed(0)
    pyramid, x = ProgressivePyramid(16, residual=residual).eval(), torch.randn(2, 16, 8, 8, 8)
    p = torch.stack([projection(x) for projection in pyramid.projections])
    d = torch.stack([atrous(one) for atrous, one in zip(pyramid.atrous, p, strict=True)])
    of_p, of_d = (torch.tensor(table, dtype=torch.float32) for table in times)
    summed = torch.einsum("tb,b...->t...", of_p, p) + torch.einsum("tb,b...->t...", of_d, d)
    near = pyramid.fuse_near(torch.cat([summed[0], summed[1]], dim=1))
    far = pyramid.fuse_far(torch.cat([summed[2], summed[3]], dim=1))
    assert torch.allclose(pyramid(x), pyramid.fuse(torch.cat([near, far], dim=1)), atol=1e-5)


def test_the_two_readings_of_equation_7_differ():
    torch.manual_seed(0)
    inputs, outputs = ProgressivePyramid(16).eval(), ProgressivePyramid(16, residual="outputs").eval()
    outputs.load_state_dict(inputs.state_dict())
    x = torch.randn(1, 16, 8, 8, 8)
    assert not torch.allclose(inputs(x), outputs(x), atol=1e-3)


def test_the_branches_have_a_quarter_of_the_channels_and_the_papers_dilations():
    pyramid = ProgressivePyramid(16)
    assert [projection[0].out_channels for projection in pyramid.projections] == [4] * 4
    assert [atrous[0].dilation for atrous in pyramid.atrous] == [(rate,) * 3 for rate in (1, 2, 4, 8)]
    assert (pyramid.fuse_near[0].out_channels, pyramid.fuse_far[0].out_channels) == (8, 8)


@pytest.mark.parametrize(("rate", "slices"), [(4, [0, 4]), (8, [4])], ids=["4 reaches", "8 does not"])
def test_on_eight_slices_a_dilation_of_8_sees_no_slice_but_its_own(rate, slices):
    convolution = ProgressivePyramid(16, dilations=(1, 2, 4, rate)).atrous[3][0]
    torch.nn.init.ones_(convolution.weight)
    impulse = torch.zeros(1, 4, 8, 17, 17)
    impulse[:, :, 4, 8, 8] = 1
    seen = convolution(impulse)[0, 0].detach()
    assert seen.amax(dim=(1, 2)).nonzero().flatten().tolist() == slices
    assert seen[4].nonzero().shape[0] == 9  # in-plane all nine taps of the kernel act
