"""CHS-Net: what the paper promises, not merely that it runs."""

import numpy as np
import pytest
import torch
from scipy import fft
from torch.nn import functional

from napari_covseg.inference.cascade import slice_proposal
from napari_covseg.networks import load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.networks.zoo.chs_net import (
    DSC,
    RIB,
    Choices,
    DepthAttention,
    HybridPool,
    InceptionConv,
    RAIUNet,
    SpatialAttention,
    SpectralPool,
    half_band,
    max_pool_same,
    spectral_pool,
)
from napari_covseg.volume import Geometry, Volume

BINARY = ("infection",)
TYPED = ("ggo", "consolidation", "effusion")
SIZES = [(16, 16), (15, 15), (12, 17), (9, 14), (18, 10)]


# parameter counts


def _with_running_stats(module):
    return parameter_count(module) + sum(
        b.numel() for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var"))
    )


@pytest.mark.parametrize(("scheme", "count"), [(BINARY, 4_131_722), (TYPED, 4_131_821)])
def test_the_paper_width_has_the_specs_parameter_count(scheme, count):
    assert parameter_count(load("chs_net").build(scheme, "paper")) == count


def test_counted_as_keras_counts_the_cascade_has_the_published_size():
    count = _with_running_stats(load("chs_net").build(BINARY, "paper"))
    assert count == 4_165_370
    assert abs(count / 4.2e6 - 1) < 0.02


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (RAIUNet(), 4_131_722),
        (RAIUNet(choices=Choices(strided_kernel=2)), 3_526_442),
        (RAIUNet(widths=(16, 32, 64, 128, 256)), 6_011_474),
    ],
    ids=["default", "2×2 strided convolutions", "doubling widths"],
)
def test_two_networks_have_the_count_the_spec_tabulates(network, count):
    assert 2 * parameter_count(network) == count


@pytest.mark.parametrize("scheme", [BINARY, TYPED])
def test_the_compact_width_stays_within_its_budget(scheme):
    assert 1_000_000 < parameter_count(load("chs_net").build(scheme, "compact")) <= 2_400_000


def test_a_depthwise_separable_convolution_is_as_much_smaller_as_equation_1_says():
    r, f, d = 12, 5, 6
    ratio = sum(p.numel() for p in DSC(d, r, f).parameters() if p.ndim > 1) / (f * f * d * r)
    assert ratio == pytest.approx(1 / r + 1 / f**2)


# spectral pooling


def _cropped_spectrum(x, h, w):
    """Written out on the whole complex spectrum: every frequency of the small grid, Nyquist from both signs."""
    spectrum = fft.fft2(x, norm="forward")

    def sources(k, size):
        return [-k, k] if 2 * abs(k) == size else [k]

    small = np.zeros((h, w), dtype=complex)
    for row in range(h):
        for column in range(w):
            rows = sources(row if row < (h + 1) // 2 else row - h, h)
            columns = sources(column if column < (w + 1) // 2 else column - w, w)
            small[row, column] = np.mean([spectrum[i, j] for i in rows for j in columns])
    image = fft.ifft2(small, norm="forward")
    assert np.abs(image.imag).max() < 1e-12
    return image.real


@pytest.mark.parametrize("size", SIZES)
def test_spectral_pooling_is_the_cropped_spectrum(size):
    x = np.random.default_rng(0).normal(size=size)
    h, w = size[0] // 2, size[1] // 2
    pooled = SpectralPool("valid")(torch.from_numpy(x)[None, None])[0, 0]
    np.testing.assert_allclose(pooled.numpy(), _cropped_spectrum(x, h, w), atol=1e-12)


def _waves(h, w):
    """Return a field on the unit square without frequencies from the Nyquist of an 8 × 8 grid on."""
    y, x = np.meshgrid(np.arange(h) / h, np.arange(w) / w, indexing="ij")
    field = 0.3 + np.sin(2 * np.pi * y + 1) + np.cos(2 * np.pi * (3 * x - 2 * y)) + 0.5 * np.sin(2 * np.pi * 3 * x)
    return torch.from_numpy(field)[None, None]


@pytest.mark.parametrize(("size", "pooled"), [((16, 16), (8, 8)), ((17, 19), (8, 9)), ((64, 32), (9, 8))])
def test_spectral_pooling_of_a_band_limited_image_is_the_image_sampled_coarser(size, pooled):
    assert torch.allclose(spectral_pool(_waves(*size), pooled), _waves(*pooled), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_spectral_pooling_keeps_the_mean(size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    for padding in ("valid", "same"):
        assert torch.allclose(SpectralPool(padding)(x).mean((2, 3)), x.mean((2, 3)))


@pytest.mark.parametrize(("norm", "expected"), [("forward", 3.0), ("ortho", 6.0)])
def test_a_constant_stays_itself_and_doubles_with_the_papers_unitary_transform(norm, expected):
    pooled = SpectralPool("valid", Choices(spectral_norm=norm))(torch.full((1, 1, 16, 16), 3.0))
    assert torch.allclose(pooled, torch.full((1, 1, 8, 8), expected))


@pytest.mark.parametrize(("norm", "factor"), [("forward", 1.0), ("ortho", 12.0)])
def test_global_spectral_pooling_is_the_mean_up_to_a_constant(norm, factor):
    x = torch.rand(2, 3, 16, 9, dtype=torch.float64)
    assert torch.allclose(spectral_pool(x, (1, 1), norm), factor * x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("size", SIZES)
def test_at_full_size_the_band_is_halved_in_both_directions(size):
    x = np.random.default_rng(0).normal(size=size)
    spectrum = fft.fft2(x)
    ky, kx = (np.abs(fft.fftfreq(n) * n) for n in size)
    spectrum[(ky > size[0] / 4)[:, None] | (kx > size[1] / 4)[None]] = 0
    expected = fft.ifft2(spectrum).real
    np.testing.assert_allclose(half_band(torch.from_numpy(x)[None, None])[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_halving_the_band_twice_is_halving_it_once(size):
    x = torch.rand(1, 2, *size, dtype=torch.float64)
    assert torch.allclose(half_band(half_band(x)), half_band(x), atol=1e-12)
    assert not torch.allclose(half_band(x), x, atol=1e-3)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (6, 5)])
def test_the_gradient_of_spectral_pooling_is_exact(padding, size):
    x = torch.rand(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SpectralPool(padding), x)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_spectral_pooling_under_autocast_computes_in_full_precision(padding):
    x = torch.rand(1, 2, 16, 16).bfloat16()
    expected = SpectralPool(padding)(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = SpectralPool(padding)(x)
    assert pooled.dtype == torch.bfloat16
    assert torch.equal(pooled, expected.bfloat16())


def test_the_alternatives_for_spectral_pooling_are_what_they_say():
    x = torch.randn(1, 2, 16, 16)
    assert torch.equal(SpectralPool("same", Choices(spectral_same="identity"))(x), x)
    assert torch.equal(SpectralPool("same", Choices(spectral_relu=True))(x), half_band(x).relu())


def _awake(block):
    """Return a block in evaluation whose batch norms neither leave what they see nor are all alike."""
    for layer in block.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias.data):
                torch.nn.init.normal_(tensor, std=0.3)
            for tensor in (layer.running_var, layer.weight.data):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
    return block.eval()


# hybrid pooling, inception, residual blocks


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_gradient", [True, False])
def test_the_full_size_max_pool_sees_nothing_outside(size, with_gradient):
    x = torch.randn(2, 3, *size, requires_grad=with_gradient)
    expected = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, stride=1)
    assert torch.equal(max_pool_same(x), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_full_size_max_pool_teaches_the_pixel_that_was_highest_and_keeps_the_layout(layout):
    x = torch.randint(0, 4, (2, 3, 9, 7)).float().contiguous(memory_format=layout).requires_grad_()  # with ties
    expected = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, stride=1)
    pooled, weights = max_pool_same(x), torch.rand_like(expected)
    assert pooled.is_contiguous(memory_format=layout)
    ours, theirs = (torch.autograd.grad((each * weights).sum(), x)[0] for each in (pooled, expected))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("padding", "size"), [("valid", (8, 6)), ("same", (16, 12))])
def test_hybrid_pooling_mixes_the_max_pool_and_the_spectral_pool(padding, size):
    torch.manual_seed(0)
    pool, x = HybridPool(3, 5, padding), torch.randn(2, 3, 16, 12)
    highest = functional.max_pool2d(x, 2) if padding == "valid" else max_pool_same(x)
    from_max, from_spectral = pool.merge.weight.split(3, dim=1)
    expected = functional.conv2d(highest, from_max) + functional.conv2d(SpectralPool(padding)(x), from_spectral)
    assert pool(x).shape == (2, 5, *size)
    assert torch.allclose(pool(x), expected + pool.merge.bias[:, None, None], atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernels", [(1, 3, 5), (2, 3, 5)])
def test_an_inception_convolution_has_a_branch_per_kernel_and_a_pool(kernels):
    block = InceptionConv(3, 4, Choices(inception_kernels=kernels)).eval()
    assert [branch[0].depthwise.kernel_size[0] for branch in block.branches[:-1]] == list(kernels)
    assert block(torch.rand(1, 3, 10, 7)).shape == (1, 4, 10, 7)
    assert (block(torch.randn(1, 3, 10, 7)) >= 0).all()


def test_a_depthwise_separable_convolution_is_equation_5_written_out():
    torch.manual_seed(0)
    block, x = DSC(3, 4, 5), torch.randn(2, 3, 9, 7)
    per_channel = functional.conv2d(x, block.depthwise.weight, padding=2, groups=3)
    expected = torch.einsum("nchw,oc->nohw", per_channel, block.pointwise.weight[:, :, 0, 0])
    assert torch.allclose(block(x), expected + block.pointwise.bias[:, None, None], atol=1e-5)


def test_an_inception_convolution_is_equations_3_and_4_written_out():
    torch.manual_seed(0)
    block, x = _awake(InceptionConv(3, 4)), torch.randn(2, 3, 10, 7)
    assert all(type(branch[0]) is DSC for branch in block.branches[:3])
    assert type(block.branches[3][0]) is HybridPool

    def bn(norm, t):
        return functional.batch_norm(t, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    heard = [bn(branch[1], branch[0](x)).relu() for branch in block.branches]  # eq. 4, for each φ
    of_each = block.merge[0].weight.split(4, dim=1)
    mixed = sum(functional.conv2d(t, w) for t, w in zip(heard, of_each, strict=True))
    expected = bn(block.merge[1], mixed + block.merge[0].bias[:, None, None]).relu()  # eq. 3
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_a_residual_inception_block_is_the_sum_of_two_convolutions_in_a_row_and_its_shortcut():
    torch.manual_seed(0)
    block, x = _awake(RIB(3, 4)), torch.randn(2, 3, 12, 12)
    first, second = block.transform
    expected = second(first(x)) + block.shortcut(x)
    assert min(second(first(x)).abs().mean(), block.shortcut(x).abs().mean()) > 0.02
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_a_residual_inception_block_is_its_signed_shortcut_where_the_transform_is_silent():
    torch.manual_seed(0)
    block, x = RIB(3, 4).eval(), torch.randn(1, 3, 12, 12)
    torch.nn.init.zeros_(block.transform[1].merge[1].weight)
    assert torch.equal(block(x), block.shortcut(x))
    assert (block(x) < 0).any()


# attention


def test_depth_attention_weighs_channels_by_their_mean():
    torch.manual_seed(0)
    attention, x = DepthAttention(6).eval(), torch.rand(2, 6, 8, 10)
    squeeze, _, excite, _ = attention.descriptor
    weight = excite(squeeze(spectral_pool(x, (1, 1))).relu()).relu()
    assert torch.allclose(attention(x), attention.refine(weight * x), atol=1e-6)


def test_depth_attention_does_not_care_where_in_the_map_a_value_is():
    torch.manual_seed(0)
    attention, x = DepthAttention(6).eval(), torch.rand(1, 6, 8, 8)
    order = torch.randperm(64)
    shuffled = x.flatten(2)[..., order].reshape(x.shape)
    assert torch.allclose(attention(shuffled).flatten(2), attention(x).flatten(2)[..., order], atol=1e-6)


@pytest.mark.parametrize("kernel", [3, 2])
def test_spatial_attention_is_equations_10_to_12_written_out(kernel):
    torch.manual_seed(0)
    attention = _awake(SpatialAttention(4, 6, Choices(strided_kernel=kernel)))
    skip, deep = torch.randn(2, 4, 12, 10), torch.randn(2, 6, 6, 5)
    halved, as_deep = attention.from_skip(skip), attention.from_deep(deep)
    assert not torch.allclose(as_deep, -as_deep, atol=0.1)
    gamma = attention.norm(halved + as_deep).relu()  # eq. 10
    coarse = attention.descriptor[0](gamma).sigmoid()
    weight = functional.interpolate(coarse, size=(12, 10), mode="bilinear", align_corners=False)  # eq. 11
    assert not torch.allclose(weight, coarse.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-3)
    assert torch.allclose(attention(skip, deep), attention.refine(weight * skip), atol=1e-6)  # eq. 12


@pytest.mark.parametrize("kernel", [3, 2])
def test_spatial_attention_weighs_all_channels_of_a_pixel_alike(kernel):
    torch.manual_seed(0)
    attention = SpatialAttention(4, 6, Choices(strided_kernel=kernel)).eval()
    skip, deep = torch.rand(1, 4, 12, 10), torch.rand(1, 6, 6, 5)
    seen = []
    attention.refine.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    attention(skip, deep)
    weight = seen[0] / skip
    assert torch.allclose(weight, weight[:, :1].expand_as(weight), atol=1e-5)
    assert ((weight > 0) & (weight < 1)).all()


def test_a_relu_gate_can_switch_a_whole_skip_off_and_the_sigmoid_cannot():
    skip, deep = torch.rand(1, 4, 12, 10), torch.rand(1, 6, 6, 5)
    for gate, off in (("relu", True), ("sigmoid", False)):
        attention = SpatialAttention(4, 6, Choices(spatial_gate=gate)).eval()
        torch.nn.init.constant_(attention.descriptor[0].bias, -9.0)
        seen = []
        attention.refine.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        attention(skip, deep)
        assert bool((seen[0] == 0).all()) is off


# the network


def test_a_skip_is_weighed_by_depth_then_in_space_by_the_encoders_next_deeper_map():
    """§3.2: the gate is fed by what the encoder hands down, not by what the decoder has made of it."""
    torch.manual_seed(0)
    network, encoded, decoded = _awake(RAIUNet(1, (4, 6, 8))), [], []
    for encoder in network.encoders:
        encoder.register_forward_hook(lambda _, x, y: encoded.append(y))
    for decoder in network.decoders:
        decoder.register_forward_hook(lambda _, x, y: decoded.append((x[0], y)))
    with torch.inference_mode():
        network(torch.rand(1, 1, 32, 32))
        fine, middle, deepest = encoded
        (coarse_in, coarse_out), (fine_in, _) = decoded
        for heard, below, skip, deep, level in (
            (coarse_in, deepest, middle, deepest, 0),
            (fine_in, coarse_out, fine, middle, 1),
        ):
            refined = network.depth_attentions[level](skip)
            gated = network.spatial_attentions[level](refined, deep)
            assert torch.allclose(heard, torch.cat([network.ups[level](below), gated], dim=1), atol=1e-6)


@pytest.mark.parametrize("choices", [Choices(), Choices(strided_kernel=2, depth_gate="sigmoid")])
def test_gradient_reaches_every_parameter(choices):
    torch.manual_seed(0)
    network = RAIUNet(4, (8, 12, 18, 27, 40), choices).eval()  # batch norm of a batch would cancel the biases before it
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return load("chs_net").build(BINARY, "compact").eval()


@pytest.mark.parametrize("size", [(160, 160), (369, 369), (512, 512), (70, 41)])
def test_any_size_comes_back_at_that_size(compact, size):
    with torch.inference_mode():
        assert compact["lesion"](torch.rand(1, 1, *size)).shape == (1, 1, *size)


def test_a_softmax_head_has_the_background_and_every_class():
    network = load("chs_net").build(TYPED, "compact").eval()
    with torch.inference_mode():
        x = torch.rand(1, 1, 32, 32)
        assert (network["lung"](x).shape[1], network["lesion"](x).shape[1]) == (1, 4)


def test_the_paper_width_runs():
    network = load("chs_net").build(BINARY, "paper").eval()
    with torch.inference_mode():
        logits = network["lesion"](torch.rand(1, 1, 64, 64))
    assert logits.shape == (1, 1, 64, 64)
    assert logits.isfinite().all()


def test_evaluation_is_deterministic(compact):
    x = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        first = compact["lung"](x)
        torch.rand(17)
        assert torch.equal(first, compact["lung"](x))


def test_a_slice_alone_equals_the_slice_in_a_batch(compact):
    x = torch.rand(3, 1, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(compact["lung"](x)[1:2], compact["lung"](x[1:2]), atol=1e-5)


def test_what_is_learned_with_gradients_is_what_is_predicted_without(compact):
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        predicted = compact["lung"](x)
    assert torch.allclose(compact["lung"](x), predicted, atol=1e-6)


# the cascade


class _Says(torch.nn.Module):
    """A stage that is sure of itself left of a column, and remembers what it was shown."""

    def __init__(self, columns=256):
        super().__init__()
        self.columns = columns

    def forward(self, x):
        self.shown = x[0, 0].numpy()
        logits = torch.full_like(x, -9.0)
        logits[..., : self.columns] = 9.0
        return logits


def test_the_second_network_is_shown_nothing_outside_the_lung():
    spec, stages = load("chs_net"), torch.nn.ModuleDict({"lung": _Says(128), "lesion": _Says()})
    hu = np.full((1, 256, 256), -200, np.int16)
    slab = Volume(hu, Geometry(hu.shape, np.diag([5.0, 0.7, 0.7, 1.0])))
    slice_proposal(stages, spec, BINARY, torch.device("cpu"), slab)
    assert stages["lung"].shown.all()
    assert stages["lesion"].shown[:, :128].all()
    assert not stages["lesion"].shown[:, 128:].any()


def test_the_spec_says_the_cascade():
    spec = load("chs_net")
    lung, lesion = spec.stages
    assert [stage.name for stage in spec.stages] == list(spec.build(BINARY, "compact"))
    assert (lung.target, lung.streams[0].masked_by) == ("lung", ())
    assert (lesion.target, lesion.streams[0].masked_by) == ("lesions", ("lung",))
    assert lung.streams[0].steps == lesion.streams[0].steps
    assert {stage.loss for stage in spec.stages} == {"bce_dice"}


@pytest.mark.parametrize("scheme", [BINARY, ("ggo",), TYPED])
def test_one_class_is_a_sigmoid_and_more_are_a_softmax(scheme):
    lung, lesion = load("chs_net").stages
    assert lung.channels(scheme) == ("lung",)
    assert lesion.channels(scheme) == (scheme if len(scheme) == 1 else ("background", *scheme))
