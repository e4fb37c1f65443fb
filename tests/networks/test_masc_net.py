"""MASC-Net: what the paper promises, not merely that it runs."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_covseg.networks import load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.networks.zoo.masc_net import DAC, RFB, RMP, MASCNet
from napari_covseg.preprocess import prepared
from napari_covseg.volume import Geometry, Volume

INFECTION = ("infection",)
THREE = ("ggo", "consolidation", "effusion")


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return load("masc_net").build(INFECTION, "compact")["lesion"].eval()


def _tiny(**settings):
    return MASCNet(1, (4, 4, 4, 4, 4), (8, 4, 4, 4, 4), rfb_channels=4, **settings)


def _ones(module):
    """Make every convolution a plain sum, so that a response shows its support."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.ones_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
    return module.eval()


def _support(response_NCHW):
    """Return where a map is not zero: (rows, columns) of the smallest box and how many pixels."""
    hit = response_NCHW.detach().sum(dim=(0, 1)).nonzero()
    extent = hit.amax(dim=0) - hit.amin(dim=0) + 1
    return tuple(extent.tolist()), len(hit)


def _impulse(channels, size=41):
    x = torch.zeros(1, channels, size, size)
    x[:, :, size // 2, size // 2] = 1
    return x


@pytest.mark.parametrize(("scheme", "parameters"), [(INFECTION, 10_934_242), (THREE, 10_934_485)])
def test_the_paper_width_has_the_specified_parameter_count(scheme, parameters):
    assert parameter_count(load("masc_net").build(scheme, "paper")) == parameters


@pytest.mark.parametrize("scheme", [INFECTION, THREE])
def test_the_compact_width_stays_within_its_budget(scheme):
    assert 1_000_000 < parameter_count(load("masc_net").build(scheme, "compact")) <= 2_400_000


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"decoder_widths": (512, 512, 256, 128, 64)}, 18.57),
        ({"dac_shared": False}, 20.90),
        ({"skips": "ct"}, 10.20),
        ({"rmp_channels": 4}, 10.957),
    ],
    ids=["mirrored decoder", "unshared DAC", "skips of the CT alone", "wider pooled maps"],
)
def test_the_other_readings_of_the_paper_have_their_parameter_counts(settings, millions):
    with torch.device("meta"):
        assert parameter_count(MASCNet(**settings)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_settings_of_the_receptive_fields_and_of_the_pooling_reach_them():
    with torch.device("meta"):
        default, other = MASCNet(), MASCNet(rfb_branch0_kernel=3, rmp_pools=(2, 3), rmp_channels=4, rmp_ceil_mode=True)
    plain = [[rfb.branches[0][0].kernel_size for rfb in (n.rfb_ct, n.rfb_eq)] for n in (default, other)]
    pooling = [(n.rmp.pools, n.rmp.mix.out_channels, n.rmp.ceil_mode) for n in (default, other)]
    assert plain == [[(1, 1)] * 2, [(3, 3)] * 2]
    assert pooling == [((2, 3, 5), 1, False), ((2, 3), 4, True)]
    assert other.decoders[0][0].in_channels == 512 + 2 * 4


def test_every_part_has_its_share_of_the_specified_parameters():
    with torch.device("meta"):
        network = MASCNet()
    parts = (network.dac, network.decoders, network.encoders)
    assert [round(parameter_count(part) / 1e4) for part in parts] == [734, 256, 99]
    assert round(parameter_count(network.rfb_ct) / 1e3 + parameter_count(network.rfb_eq) / 1e3) == 49


def test_the_decoder_takes_in_the_channels_of_the_specs_table():
    with torch.device("meta"):
        network = MASCNet()
    assert [block[0].in_channels for block in network.decoders] == [515, 768, 640, 320, 160]
    assert network.head.in_channels == 80


def test_a_decoder_block_convolves_before_it_upsamples():
    network, sizes = _tiny().eval(), []
    for block in network.decoders:
        block.register_forward_hook(lambda _, x, y: sizes.append((x[0].shape[-1], y.shape[-1])))
    network(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    assert sizes == [(side, side) for side in (2, 4, 8, 16, 32)]


@pytest.mark.parametrize("skips", ["all", "ct"])
def test_a_decoder_block_takes_the_one_below_bilinearly_and_beside_it_the_skips(skips):
    torch.manual_seed(0)
    network, encoded, taken, made = _tiny(skips=skips).eval(), [], [], []
    for encoder in network.encoders:
        encoder.register_forward_hook(lambda _, x, y: encoded.append(y))
    for block in network.decoders:
        block.register_forward_pre_hook(lambda _, x: taken.append(x[0]))
        block.register_forward_hook(lambda _, x, y: made.append(y))
    network(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    for level, (below, x) in enumerate(zip(made, taken[1:], strict=False)):
        up = functional.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
        beside = [maps[4 - level] for maps in encoded[: 4 if skips == "all" else 1]]
        assert torch.allclose(x, torch.cat([up, *beside], dim=1), atol=1e-6)


def test_a_three_class_head_takes_over_all_but_the_last_convolution():
    one, three = (load("masc_net").build(scheme, "compact").state_dict() for scheme in (INFECTION, THREE))
    assert one.keys() == three.keys()
    assert {key for key in one if one[key].shape != three[key].shape} == {"lesion.head.weight", "lesion.head.bias"}


@pytest.mark.parametrize(
    ("scheme", "channels"), [(INFECTION, INFECTION), (("ggo",), ("ggo",)), (THREE, ("background", *THREE))]
)
def test_one_class_is_a_sigmoid_and_more_are_a_softmax(scheme, channels):
    assert load("masc_net").stages[0].channels(scheme) == channels


@pytest.mark.parametrize("plain_kernel", [1, 3])
def test_an_rfb_branch_sees_a_full_square_of_its_dilation(plain_kernel):
    rfb = _ones(RFB(1, 2, plain_kernel))
    supports = [_support(branch(_impulse(1))) for branch in rfb.branches]
    assert supports == [((side, side), side * side) for side in (plain_kernel, 9, 15, 21)]


@pytest.mark.parametrize(("branch", "rate"), [(1, 3), (2, 5), (3, 7)])
def test_the_last_convolution_of_an_rfb_branch_is_dilated_and_the_square_ones_are_factorised(branch, rate):
    convs = [layer[0] for layer in RFB(1, 2).branches[branch]]
    assert [conv.kernel_size for conv in convs] == [(1, 1), (1, rate), (rate, 1), (3, 3)]
    assert [conv.dilation[0] for conv in convs] == [1, 1, 1, rate]


def test_an_rfb_is_its_shortcut_where_the_branches_are_silent():
    rfb = RFB(1, 4).eval()
    torch.nn.init.zeros_(rfb.fuse[1].weight)
    x = torch.randn(1, 1, 9, 9)
    assert torch.equal(rfb(x), rfb.shortcut(x).relu())


def test_an_rfb_is_linear_up_to_its_last_sum():
    torch.manual_seed(0)
    rfb = RFB(1, 4).eval()
    x, y = torch.randn(2, 1, 1, 16, 16)
    for layer in (*rfb.branches, rfb.shortcut):
        assert torch.allclose(layer(x + y), layer(x) + layer(y), atol=1e-5)


def test_dense_atrous_convolution_is_its_formula():
    torch.manual_seed(0)
    dac = DAC(6)
    x = torch.randn(2, 6, 16, 16)

    def d(rate, t):
        conv = dac.convs[f"rate_{rate}"]
        return functional.conv2d(t, conv.weight, conv.bias, padding=rate, dilation=rate)

    def p(t):
        return functional.conv2d(t, dac.convs["mix"].weight, dac.convs["mix"].bias)

    expected = x + d(1, x).relu() + p(d(3, x)).relu() + p(d(3, d(1, x))).relu() + p(d(5, d(3, d(1, x)))).relu()
    assert torch.allclose(dac(x), expected, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_the_branches_of_a_dac_see_3_7_9_and_19_pixels(shared):
    dac = _ones(DAC(2, shared))
    extents = [_support(branch)[0] for branch in dac.branches(_impulse(2))]
    assert extents == [(side, side) for side in (3, 7, 9, 19)]


def test_unshared_dac_branches_with_equal_weights_equal_the_shared_ones():
    torch.manual_seed(0)
    shared, unshared = DAC(4), DAC(4, shared=False)
    for name, conv in unshared.convs.items():
        conv.load_state_dict(shared.convs[name.partition("_of_")[0]].state_dict())
    x = torch.randn(1, 4, 12, 12)
    assert len(unshared.convs) == 10
    assert torch.allclose(shared(x), unshared(x), atol=1e-6)


@pytest.mark.parametrize(("pools", "channels_pooled"), [((2, 3, 5), 1), ((2, 3, 5, 6), 1), ((2, 3), 4)])
def test_residual_pooling_appends_its_maps_to_an_untouched_original(pools, channels_pooled):
    rmp = RMP(8, pools, channels_pooled)
    x = torch.randn(2, 8, 16, 16)
    out = rmp(x)
    assert out.shape == (2, 8 + len(pools) * channels_pooled, 16, 16)
    assert out.shape[1] == rmp.channels_out
    assert torch.equal(out[:, :8], x)


def test_residual_pooling_adds_three_channels_by_default():
    assert RMP(512).channels_out == 515


def test_a_pooled_map_is_pool_then_shared_convolution_then_bilinear():
    torch.manual_seed(0)
    rmp = RMP(4)
    x = torch.randn(1, 4, 16, 16)
    for index, (pool, side) in enumerate([(2, 8), (3, 5), (5, 3)]):  # the floor drops a row at 3 and 5
        windows = x[..., : side * pool, : side * pool].reshape(1, 4, side, pool, side, pool).amax(dim=(3, 5))
        mixed = torch.einsum("nchw,c->nhw", windows, rmp.mix.weight[0, :, 0, 0])[:, None] + rmp.mix.bias
        grown = functional.interpolate(mixed, size=(16, 16), mode="bilinear", align_corners=False)
        assert torch.allclose(rmp(x)[:, 4 + index], grown[:, 0], atol=1e-5)


def test_pools_that_round_up_keep_the_last_row():
    x = torch.zeros(1, 1, 16, 16)
    x[..., 15, 15] = 1
    down, up = _ones(RMP(1, (3,))), _ones(RMP(1, (3,), ceil_mode=True))
    assert not down(x)[:, 1].any()
    assert up(x)[:, 1].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 4), (5, 5)])
def test_pools_are_clamped_to_a_small_map(size):
    assert RMP(4)(torch.randn(1, 4, *size)).shape == (1, 7, *size)


def test_an_encoder_level_is_convolution_then_relu_then_batch_norm():
    torch.manual_seed(0)
    level = _tiny().encoders[0].levels[0].eval()
    conv, _, norm = level
    norm.running_mean.fill_(0.3)
    x = torch.randn(1, 1, 8, 8)
    assert torch.allclose(level(x), norm(conv(x).relu()))
    assert level(x).min() < 0


def test_an_encoder_hands_out_what_it_has_before_pooling():
    maps = _tiny().encoders[0].eval()(torch.rand(1, 1, 64, 64))
    assert [m.shape[-1] for m in maps] == [64, 32, 16, 8, 4, 2]
    assert torch.equal(functional.max_pool2d(maps[-2], 2), maps[-1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"skips": "ct"},
        {"dac_shared": False},
        {"rfb_branch0_kernel": 3, "rmp_channels": 2, "rmp_ceil_mode": True},
    ],
    ids=str,
)
def test_gradient_reaches_every_parameter(settings):
    torch.manual_seed(0)
    network = _tiny(**settings)
    network(torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_four_levels_leave_the_last_decoder_block_at_full_size():
    network = MASCNet(1, (4, 4, 4, 4), (8, 4, 4, 4, 4), rfb_channels=4).eval()
    assert (len(network.decoders), len(network.plain), network.head.in_channels) == (4, 1, 4)
    assert network(torch.rand(1, 1, 40, 48), torch.rand(1, 1, 40, 48)).shape == (1, 1, 40, 48)


def test_weights_are_xavier_uniform_and_biases_zero():
    torch.manual_seed(0)
    for layer in load("masc_net").build(INFECTION, "compact").modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan_in, fan_out = (channels * layer.weight[0, 0].numel() for channels in layer.weight.shape[1::-1])
            bound = sqrt(6 / (fan_in + fan_out))
            assert layer.weight.abs().max() <= bound
            if layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(bound / sqrt(3), rel=0.05)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("silenced", [0, 1], ids=["ct", "equalised"])
def test_zeroing_either_input_changes_the_output(compact, silenced):
    inputs = list(torch.rand(2, 1, 1, 64, 64))
    with torch.inference_mode():
        both = compact(*inputs)
        inputs[silenced] = torch.zeros_like(inputs[silenced])
        assert (compact(*inputs) - both).abs().max() > 1e-3


@pytest.mark.parametrize("stream", range(4))
def test_every_stream_reaches_the_decoder(stream):
    torch.manual_seed(0)
    network = _tiny().eval()
    x = torch.rand(2, 1, 1, 64, 64)
    with torch.inference_mode():
        four = network(*x)
        network.encoders[stream].register_forward_hook(lambda *args: [torch.zeros_like(m) for m in args[-1]])
        assert (network(*x) - four).abs().max() > 1e-4


@pytest.mark.parametrize("size", [(160, 160), (369, 369), (512, 512), (630, 630), (33, 100)])
def test_any_size_comes_back_at_that_size(compact, size):
    with torch.inference_mode():
        logits = compact(torch.rand(1, 1, *size), torch.rand(1, 1, *size))
    assert logits.shape == (1, 1, *size)
    assert logits.isfinite().all()


def test_evaluation_is_deterministic(compact):
    x = torch.rand(2, 1, 1, 96, 96)
    with torch.inference_mode():
        assert torch.equal(compact(*x), compact(*x))


def test_a_slice_alone_equals_the_slice_in_a_batch(compact):
    ct, eq = torch.rand(2, 3, 1, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(compact(ct, eq)[1:2], compact(ct[1:2], eq[1:2]), atol=1e-4)


def test_the_paper_width_runs_with_three_classes():
    network = load("masc_net").build(THREE, "paper")["lesion"].eval()
    with torch.inference_mode():
        assert network(*torch.rand(2, 1, 1, 64, 64)).shape == (1, 4, 64, 64)


def test_the_two_streams_are_the_slice_and_its_equalised_copy():
    hu = np.random.default_rng(0).normal(-600, 300, (1, 90, 120)).astype(np.float32)
    scan = Volume(hu, Geometry(hu.shape, np.eye(4)))
    ct, eq = (prepared(scan, stream.steps) for stream in load("masc_net").stages[0].streams)
    assert ct.hu.shape == eq.hu.shape == (1, 512, 512)
    assert np.array_equal(ct.geometry.affine, eq.geometry.affine)
    assert (eq.hu.min(), eq.hu.max()) == (0, 1)
    assert eq.hu.std() > 2 * ct.hu.std()
