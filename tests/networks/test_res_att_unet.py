"""Residual Attention U-Net: what the paper promises, not merely that it runs."""

from math import inf, sqrt

import pytest
import torch
from torch.nn import functional

from napari_covseg.networks import load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.networks.zoo.res_att_unet import LSHAttention, ResAttUNet, ResNeXtBlock, _bucket_factors, fold_seed

SCHEME = ("ggo", "consolidation", "effusion")


def test_the_paper_width_has_the_papers_parameter_count():
    assert parameter_count(load("res_att_unet").build(SCHEME, "paper")) == 15_923_524


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"blocks_per_level": (1, 1, 1, 1, 1)}, 14.42),
        ({"blocks_per_level": (3, 4, 6, 3, 1)}, 15.40),
        ({"attention_levels": ()}, 15.55),
        ({"heads": 8}, 16.29),
    ],
    ids=["one block per level", "ResNeXt-50's depths", "no attention", "eight heads"],
)
def test_the_other_readings_of_the_paper_have_their_parameter_counts(settings, millions):
    with torch.device("meta"):
        assert parameter_count(ResAttUNet(**settings)) / 1e6 == pytest.approx(millions, abs=0.006)


def test_a_decoder_without_batch_norms_has_biases_for_them():
    with torch.device("meta"):
        decoders = ResAttUNet(decoder_norm=False).decoders
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in decoders.modules())
    assert all(layer.bias is not None for layer in decoders.modules() if isinstance(layer, torch.nn.Conv2d))


def test_settings_of_the_attention_reach_every_level():
    with torch.device("meta"):
        network = ResAttUNet(n_hashes=8, bucket=32, n_hashes_eval=2, residual=False)
    assert [(a.n_hashes, a.bucket, a.n_hashes_eval, a.residual) for a in network.attentions] == [(8, 32, 2, False)] * 4
    assert len({a.seed for a in network.attentions}) == 4


def test_without_its_residual_an_attention_is_what_it_adds():
    torch.manual_seed(0)
    layer, x = LSHAttention(16).eval(), torch.randn(1, 16, 5, 5)
    alone = LSHAttention(16, residual=False).eval()
    alone.load_state_dict(layer.state_dict())
    assert torch.allclose(layer(x), x + alone(x), atol=1e-6)


def test_evaluation_may_take_fewer_rounds_than_training(monkeypatch):
    layer, rounds = LSHAttention(16, bucket=16, n_hashes=4, n_hashes_eval=2, full_attention_below=0), []
    one_round = layer._round
    monkeypatch.setattr(layer, "_round", lambda *args: (rounds.append(args[-1]), one_round(*args))[1])
    layer.train()(torch.randn(1, 16, 8, 8))
    layer.eval()(torch.randn(1, 16, 8, 8))
    assert rounds == [0, 1, 2, 3, 0, 1]


def test_the_compact_width_stays_within_its_budget():
    assert 1_000_000 < parameter_count(load("res_att_unet").build(SCHEME, "compact")) <= 2_400_000


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return load("res_att_unet").build(SCHEME, "compact")["lesion"].eval()


@pytest.mark.parametrize("size", [(160, 160), (369, 369), (128, 200)])
def test_any_size_comes_back_at_that_size(compact, size):
    with torch.inference_mode():
        assert compact(torch.rand(1, 1, *size)).shape == (1, 4, *size)


def test_evaluation_is_deterministic(compact):
    x = torch.rand(1, 1, 160, 160)
    with torch.inference_mode():
        first = compact(x)
        torch.rand(17)  # the global generator must not matter
        assert torch.equal(first, compact(x))


def test_a_slice_alone_equals_the_slice_in_a_batch(compact):
    x = torch.rand(3, 1, 128, 128)
    with torch.inference_mode():
        assert torch.allclose(compact(x)[1:2], compact(x[1:2]), atol=1e-4)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = ResAttUNet(4, widths=(8, 16, 16, 16, 16), cardinality=4)
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_level_of_the_encoder_begins_with_the_largest_of_four_pixels():
    torch.manual_seed(0)
    network, outs, ins = ResAttUNet(4, widths=(8, 16, 16, 16, 16), cardinality=4).eval(), [], []
    for encoder in network.encoders:
        encoder.register_forward_pre_hook(lambda _, x: ins.append(x[0]))
        encoder.register_forward_hook(lambda _, x, y: outs.append(y))
    network(torch.rand(1, 1, 32, 32))
    for finer, coarser in zip(outs, ins[1:], strict=False):
        assert torch.equal(coarser, finer.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5)))


def test_a_resnext_block_is_its_shortcut_where_the_transform_is_silent():
    block = ResNeXtBlock(16, 16, cardinality=4).eval()
    torch.nn.init.zeros_(block.transform[-1].weight)
    x = torch.rand(1, 16, 8, 8)
    assert torch.equal(block(x), x)


def _exact_attention(layer: LSHAttention, x_NCHW):
    layer_below, layer.full_attention_below = layer.full_attention_below, 10**9
    exact = layer(x_NCHW)
    layer.full_attention_below = layer_below
    return exact


@pytest.mark.parametrize("tokens", [(8, 16), (7, 16)], ids=["two full chunks", "padded"])
def test_hashed_attention_is_exact_when_two_chunks_cover_all_tokens(tokens):
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=64, full_attention_below=0).eval()
    x = torch.randn(2, 32, *tokens)
    assert torch.allclose(layer(x), _exact_attention(layer, x), atol=1e-6)


def _buckets(qk_LD, length, factors, seed, index):
    """Eq. 4: which of the directions ±r a token points to the most; what pads has a bucket behind all others."""
    generator, hashes, stride = fold_seed(seed, index), [0] * len(qk_LD), 1
    for size in factors:
        rotation = torch.randn(16, size // 2, generator=generator)
        for i, token_D in enumerate(qk_LD):
            along = (token_D @ rotation).tolist()
            along += [-a for a in along]
            hashes[i] += stride * along.index(max(along))
        stride *= size
    return [h if i < length else inf for i, h in enumerate(hashes)]


def _one_round_token_by_token(qk_LD, v_LD, buckets, length, chunk):
    """Sort by bucket, then by place; each sees its chunk and the one before, itself hardly, padding never (eq. 5)."""
    order = sorted(range(len(qk_LD)), key=lambda i: (buckets[i], i))
    chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
    out_LD, lse_L = torch.zeros_like(v_LD), torch.zeros(len(qk_LD))
    for c, own in enumerate(chunks):
        seen = [j for j in own + chunks[c - 1] if j < length]
        for i in (i for i in own if i < length):
            logits = [-1e5 if i == j else float(qk_LD[i] @ qk_LD[j] / qk_LD[j].norm() / sqrt(16)) for j in seen]
            lse_L[i] = torch.tensor(logits).logsumexp(0)
            out_LD[i] = torch.tensor(logits).softmax(0) @ v_LD[seen]
    return out_LD, lse_L


@pytest.mark.parametrize(
    ("tokens", "length", "bucket", "factors"),
    [(128, 128, 16, (8,)), (128, 105, 16, (8,)), (288, 288, 4, (10, 8))],
    ids=["8 chunks", "padded", "a product of two hashes"],
)
@pytest.mark.parametrize(("seed", "index"), [(1, 0), (3, 2)])
def test_a_round_of_many_chunks_is_the_one_written_out_token_by_token(tokens, length, bucket, factors, seed, index):
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=bucket, seed=seed).eval()
    qk, v = 4 * torch.randn(1, tokens, 16), torch.randn(1, tokens, 16)
    outs, lses = layer._round(qk, v, length, index)
    buckets = _buckets(qk[0], length, factors, seed, index)
    expected, lse = _one_round_token_by_token(qk[0], v[0], buckets, length, bucket)
    assert torch.allclose(outs[0, :length], expected[:length], atol=1e-5)
    assert torch.allclose(lses[0, :length], lse[:length], atol=1e-4)


def test_more_rounds_of_hashing_come_nearer_to_exact_attention():
    """64 scattered clusters of 8 tokens that all but ignore the others: what an attention by buckets is made for."""
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=16).eval()
    centres, cluster = functional.normalize(torch.randn(64, 16), dim=-1), torch.arange(512) % 64
    qk = 40 * (centres[cluster] + 0.3 * functional.normalize(torch.randn(1, 512, 16), dim=-1))
    v = torch.randn(1, 64, 16)[:, cluster]
    exact, error = layer._exact(qk, v), {}
    for rounds in (1, 2, 4):
        layer.n_hashes_eval = rounds
        error[rounds] = ((layer._hashed(qk, v) - exact).norm() / exact.norm()).item()
    assert error[1] < 0.6
    assert error[1] > 1.7 * error[2] > 1.7 * 1.7 * error[4]
    assert error[4] < 0.15


def test_rotations_differ_between_rounds_and_between_layers():
    torch.manual_seed(0)
    qk = torch.randn(1, 512, 16)
    hashes = [LSHAttention(32, bucket=16, seed=seed).eval()._hash(qk, 512, i) for seed in (1, 2) for i in (0, 1)]
    alike = [(a == b).float().mean() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert max(alike) < 0.15  # of 32 buckets one is alike by chance


def test_equal_tokens_share_a_bucket_and_opposite_ones_never_do():
    torch.manual_seed(0)
    half = torch.randn(1, 144, 16)
    layer = LSHAttention(32, bucket=4).eval()
    first, second = layer._hash(torch.cat([half, 2 * half], dim=1), 288, 0).view(2, 144)
    assert torch.equal(first, second)
    first, second = layer._hash(torch.cat([half, -half], dim=1), 288, 0).view(2, 144)
    assert (first != second).all()


def test_hashed_attention_differs_from_exact_attention_beyond_that():
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=16, full_attention_below=0).eval()
    x = 5 * torch.randn(1, 32, 16, 16)
    assert not torch.allclose(layer(x), _exact_attention(layer, x), atol=1e-6)


def test_exact_attention_is_shared_qk_softmax_written_out():
    torch.manual_seed(0)
    layer = LSHAttention(16, heads=1, head_width=8).eval()
    x = torch.randn(1, 16, 3, 3)
    tokens = layer.norm(x.flatten(2).transpose(1, 2))[0]
    qk, v = layer.to_qk(tokens), layer.to_v(tokens)
    logits = qk @ functional.normalize(qk, dim=-1).T / sqrt(8)
    logits.fill_diagonal_(-1e5)
    expected = x + layer.to_out(logits.softmax(-1) @ v).T.reshape(1, 16, 3, 3)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_merging_rounds_one_by_one_equals_merging_them_at_once():
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=16, n_hashes=4, full_attention_below=0).eval()
    qk, v = torch.randn(4, 256, 16), torch.randn(4, 256, 16)
    outs, weights = zip(*(layer._round(qk, v, 256, index) for index in range(4)), strict=True)
    at_once = (torch.stack(weights).softmax(0)[..., None] * torch.stack(outs)).sum(0)
    assert torch.allclose(layer._hashed(qk, v), at_once, atol=1e-6)


def test_what_padded_tokens_hold_never_matters():
    torch.manual_seed(0)
    layer = LSHAttention(32, bucket=16, full_attention_below=0).eval()
    qk, v = torch.randn(4, 64, 16), torch.randn(4, 64, 16)
    rubbish_qk, rubbish_v = qk.clone(), v.clone()
    rubbish_qk[:, 50:], rubbish_v[:, 50:] = 1e3, 1e3
    clean, _ = layer._round(qk, v, 50, 0)
    dirty, _ = layer._round(rubbish_qk, rubbish_v, 50, 0)
    assert torch.equal(clean[:, :50], dirty[:, :50])


def test_rotations_are_fresh_in_training_and_fixed_in_evaluation():
    layer = LSHAttention(32, bucket=16, full_attention_below=0)
    qk = torch.randn(2, 256, 16)
    assert torch.equal(layer.eval()._hash(qk, 256, 0), layer._hash(qk, 256, 0))
    assert not torch.equal(layer.train()._hash(qk, 256, 0), layer._hash(qk, 256, 0))


@pytest.mark.parametrize("n_buckets", [2, 64, 66, 144, 1024, 2304])
def test_bucket_factors_are_even_and_about_as_many(n_buckets):
    factors = _bucket_factors(n_buckets)
    product = torch.tensor(factors).prod().item()
    assert all(f % 2 == 0 for f in factors)
    assert n_buckets <= product <= 1.6 * n_buckets
