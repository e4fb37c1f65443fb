"""Residual Attention U-Net: ResNeXt encoder, locality-sensitive-hashing attention in the decoder.

X. Chen, L. Yao, Y. Zhang, "Residual Attention U-Net for Automated Multi-Class Segmentation of COVID-19 Chest CT
Images", arXiv:2004.05645 (2020). Sections and equations are the paper's; what it leaves open is resolved as in
specs/res_att_unet.md: softmax over four classes, attention after the concatenation with a residual around it,
non-causal attention, √d inside the softmax, ``m = 2 l / n_buckets``, cardinality 32, two blocks per level, no
global average pooling. An argument away: other depths of the encoder, attention at fewer levels, without its residual
or with other hashing, a decoder without batch norm. Left out: causal masking, the correction for keys shared between
hash rounds, attention before the concatenation, exact attention at every size, another multiple to pad to than 16,
cropping the black frame, class weights.

Shape suffixes: N batch, C channels, H W rows and columns, L = H·W tokens, S sequences (N × heads), D head width,
K chunks, Q queries of a chunk, M keys seen by a chunk.
"""

from __future__ import annotations

from math import ceil, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import Names, NetworkSpec, Recipe, Stage, Stream, Width, background_and
from napari_covseg.preprocess import Resize, Square, Window

SELF_LOGIT = -1e5
PADDING_LOGIT = -1e9
FACTORISE_ABOVE = 64
CHUNKS_AT_ONCE = 64
"""Their logits, 2 MiB where a bucket has 64 tokens, stay in the processor's cache and are never paged in anew."""


class ResNeXtBlock(nn.Module):
    """Aggregated residual transformations (§III-A): 1×1, grouped 3×3, 1×1, and a shortcut.

    Parameters
    ----------
    channels_in, channels_out
        The shortcut is a 1×1 convolution where they differ.
    cardinality
        Number of groups; the bottleneck is half the output wide, at least one channel per group.
    """

    def __init__(self, channels_in: int, channels_out: int, cardinality: int = 32) -> None:
        super().__init__()
        bottleneck = max(channels_out // 2, cardinality)
        self.transform = nn.Sequential(
            nn.Conv2d(channels_in, bottleneck, 1, bias=False),
            nn.BatchNorm2d(bottleneck),
            nn.ReLU(inplace=True),
            nn.Conv2d(bottleneck, bottleneck, 3, padding=1, groups=cardinality, bias=False),
            nn.BatchNorm2d(bottleneck),
            nn.ReLU(inplace=True),
            nn.Conv2d(bottleneck, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H, W)."""
        return functional.relu(self.transform(x_NCHW) + self.shortcut(x_NCHW))


class LSHAttention(nn.Module):
    """Shared-QK attention within hash buckets (§III-B, eqs. 2–6).

    Parameters
    ----------
    channels
        Width of the map that is attended over.
    heads, head_width
        The projections are ``heads × head_width`` wide.
    bucket
        Tokens per chunk; a query sees its own chunk and the one before.
    n_hashes
        Rounds of hashing, merged by their log-sum-exp.
    full_attention_below
        Maps of fewer tokens are attended to exactly.
    seed
        Layer's own seed: in evaluation the rotations are the same in every call.
    n_hashes_eval
        Rounds in evaluation, where they are to be others.
    residual
        Whether the map itself is added to what is attended to.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        head_width: int = 16,
        bucket: int = 64,
        n_hashes: int = 4,
        full_attention_below: int = 1024,
        seed: int = 0,
        n_hashes_eval: int | None = None,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.head_width, self.bucket, self.n_hashes = heads, head_width, bucket, n_hashes
        self.n_hashes_eval, self.residual = n_hashes_eval or n_hashes, residual
        self.full_attention_below, self.seed = full_attention_below, seed
        self.norm = nn.LayerNorm(channels)
        self.to_qk = nn.Linear(channels, heads * head_width, bias=False)
        self.to_v = nn.Linear(channels, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the attended map plus, where it has a residual, its input: (N, C, H, W)."""
        N, C, H, W = x_NCHW.shape
        tokens_NLC = self.norm(x_NCHW.flatten(2).transpose(1, 2))
        qk_SLD, v_SLD = self._heads(self.to_qk(tokens_NLC)), self._heads(self.to_v(tokens_NLC))
        attend = self._exact if self.full_attention_below > H * W else self._hashed
        merged_NLC: Tensor = attend(qk_SLD, v_SLD).unflatten(0, (N, self.heads)).transpose(1, 2).flatten(2)
        attended_NLC: Tensor = self.to_out(merged_NLC)
        attended_NCHW = attended_NLC.transpose(1, 2).reshape(N, C, H, W)
        return x_NCHW + attended_NCHW if self.residual else attended_NCHW

    def _heads(self, projected_NLC: Tensor) -> Tensor:
        per_head_NLHD: Tensor = projected_NLC.unflatten(2, (self.heads, self.head_width))
        return per_head_NLHD.transpose(1, 2).flatten(0, 1)

    def _exact(self, qk_SLD: Tensor, v_SLD: Tensor) -> Tensor:
        keys_SLD = functional.normalize(qk_SLD, dim=-1)
        logits_SLL: Tensor = qk_SLD @ keys_SLD.transpose(1, 2) / sqrt(self.head_width)
        diagonal = torch.eye(qk_SLD.shape[1], dtype=torch.bool, device=qk_SLD.device)
        return logits_SLL.masked_fill(diagonal, SELF_LOGIT).softmax(dim=-1) @ v_SLD

    def _hashed(self, qk_SLD: Tensor, v_SLD: Tensor) -> Tensor:
        """Merge the rounds one at a time with a running log-sum-exp (eq. 6)."""
        length = qk_SLD.shape[1]
        padding = -length % (2 * self.bucket)
        qk_SLD, v_SLD = (functional.pad(t, (0, 0, 0, padding)) for t in (qk_SLD, v_SLD))
        merged_SLD, weight_SL = self._round(qk_SLD, v_SLD, length, 0)
        for index in range(1, self.n_hashes if self.training else self.n_hashes_eval):
            out_SLD, lse_SL = self._round(qk_SLD, v_SLD, length, index)
            total_SL = torch.logaddexp(weight_SL, lse_SL)
            merged_SLD = (
                merged_SLD * (weight_SL - total_SL).exp()[..., None] + out_SLD * (lse_SL - total_SL).exp()[..., None]
            )
            weight_SL = total_SL
        return merged_SLD[:, :length]

    def _round(self, qk_SLD: Tensor, v_SLD: Tensor, length: int, index: int) -> tuple[Tensor, Tensor]:
        """One round of hashing: outputs o^g (eq. 5) and log-normalisers z^g."""
        hashes_SL = self._hash(qk_SLD, length, index)
        order_SL = hashes_SL.sort(dim=-1, stable=True).indices
        ticks_SL = torch.arange(order_SL.shape[1], device=order_SL.device).expand_as(order_SL)
        back_SL = torch.empty_like(order_SL).scatter_(1, order_SL, ticks_SL)
        in_order = (_permuted(t_SLD, order_SL, back_SL) for t_SLD in (qk_SLD, v_SLD))
        q_SKQD, v_SKQD = (t_SLD.unflatten(1, (-1, self.bucket)) for t_SLD in in_order)
        operands = [q_SKQD, _with_previous(functional.normalize(q_SKQD, dim=-1)), _with_previous(v_SKQD)]
        if length < order_SL.shape[1]:
            operands.append(_with_previous((order_SL >= length).unflatten(1, (-1, self.bucket))))
        blocks = zip(*(t.flatten(0, 1).split(CHUNKS_AT_ONCE) for t in operands), strict=True)
        outs, lses = zip(*(_attend_chunks(*block) for block in blocks), strict=True)
        out_SLD, lse_SL = torch.cat(outs).view_as(v_SLD), torch.cat(lses).view_as(order_SL)
        return _permuted(out_SLD, back_SL, order_SL), lse_SL.gather(1, back_SL)

    def _hash(self, qk_SLD: Tensor, length: int, index: int) -> Tensor:
        """h(x) = argmax([xR; −xR]) (eq. 4), as a product of two small hashes where there are many buckets."""
        factors = _bucket_factors(qk_SLD.shape[1] // self.bucket)
        generator = None if self.training else fold_seed(self.seed, index)
        hashes_SL = torch.zeros(qk_SLD.shape[:2], dtype=torch.long, device=qk_SLD.device)
        stride = 1
        for size in factors:
            rotation = torch.randn(self.head_width, size // 2, generator=generator).to(qk_SLD)
            projected = qk_SLD.detach() @ rotation
            nearest_SL1 = projected.abs().argmax(dim=-1, keepdim=True)
            is_behind_SL1 = projected.gather(-1, nearest_SL1) < 0
            hashes_SL += stride * (nearest_SL1 + size // 2 * is_behind_SL1)[..., 0]
            stride *= size
        hashes_SL[:, length:] = prod(factors)
        return hashes_SL


class _Permuted(torch.autograd.Function):
    """Tokens in another order; as the order leaves none out and takes none twice, its gradient is that of the way back.

    Whole tokens are moved, which is faster than to gather their numbers one by one.
    """

    @staticmethod
    def forward(ctx: Any, tokens_SLD: Tensor, order_SL: Tensor, back_SL: Tensor) -> Tensor:
        ctx.save_for_backward(back_SL)
        return _moved(tokens_SLD, order_SL)

    @staticmethod
    def backward(ctx: Any, gradient_SLD: Tensor) -> tuple[Tensor, None, None]:
        (back_SL,) = ctx.saved_tensors
        return _moved(gradient_SLD, back_SL), None, None


def _permuted(tokens_SLD: Tensor, order_SL: Tensor, back_SL: Tensor) -> Tensor:
    permuted_SLD: Tensor = _Permuted.apply(tokens_SLD, order_SL, back_SL)  # type: ignore[no-untyped-call]
    return permuted_SLD


def _moved(tokens_SLD: Tensor, order_SL: Tensor) -> Tensor:
    first_S1 = torch.arange(len(order_SL), device=order_SL.device)[:, None] * order_SL.shape[1]
    return tokens_SLD.flatten(0, 1).index_select(0, (order_SL + first_S1).flatten()).view_as(tokens_SLD)


def _attend_chunks(
    q_KQD: Tensor, k_KMD: Tensor, v_KMD: Tensor, padding_KM: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attend within chunks (eq. 5): to oneself only for want of others, and never to padding.

    A query's own key stands at its own place among the keys, as those of its chunk come first.
    """
    logits_KQM = (q_KQD / sqrt(q_KQD.shape[-1])) @ k_KMD.transpose(-1, -2)
    logits_KQM.diagonal(dim1=-2, dim2=-1).fill_(SELF_LOGIT)
    if padding_KM is not None:
        logits_KQM = logits_KQM.masked_fill_(padding_KM[..., None, :], PADDING_LOGIT)
    largest_KQ1 = logits_KQM.detach().amax(dim=-1, keepdim=True).float()
    shares_KQM = (logits_KQM - largest_KQ1).exp()
    sum_KQ1 = shares_KQM.sum(dim=-1, keepdim=True)
    return (shares_KQM @ v_KMD) / sum_KQ1, (largest_KQ1 + sum_KQ1.log())[..., 0]


def _with_previous(chunks_SKQx: Tensor) -> Tensor:
    """Append to each chunk the one before it; the first one's is the last."""
    return torch.cat([chunks_SKQx, chunks_SKQx.roll(1, dims=1)], dim=2)


def _bucket_factors(n_buckets: int) -> tuple[int, ...]:
    """Split a bucket count into one or two even numbers whose product is about as large."""
    if n_buckets <= FACTORISE_ABOVE:
        return (n_buckets,)
    first = 2 * ceil(sqrt(n_buckets) / 2)
    return first, 2 * ceil(n_buckets / first / 2)


def fold_seed(*parts: int) -> torch.Generator:
    """Return a CPU generator whose stream depends on the given numbers and nothing else."""
    generator = torch.Generator(device="cpu")
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + part + 1) % (2**63)
    generator.manual_seed(seed)
    return generator


class ResAttUNet(nn.Module):
    """U-Net with ResNeXt blocks on the way down and LSH attention on the way up (Fig. 1).

    Parameters
    ----------
    n_out
        Output channels.
    widths
        Channels of the four encoder levels and the bridge.
    cardinality
        Groups of a ResNeXt block.
    blocks_per_level
        ResNeXt blocks of each encoder level and the bridge.
    attention_levels
        Decoder levels, 1 the finest, whose concatenated map is attended over.
    decoder_norm
        Whether the decoder's convolutions have batch norms; without them they have biases.
    attention
        Settings of every `LSHAttention` but its seed: ``heads``, ``bucket``, ``n_hashes``, ``residual`` …
    """

    def __init__(
        self,
        n_out: int = 4,
        widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
        cardinality: int = 32,
        blocks_per_level: tuple[int, ...] = (2, 2, 2, 2, 2),
        attention_levels: tuple[int, ...] = (1, 2, 3, 4),
        decoder_norm: bool = True,
        **attention: Any,
    ) -> None:
        super().__init__()
        self.stem = _conv_bn_relu(1, widths[0])
        inputs = (widths[0], *widths[:-1])
        self.encoders = nn.ModuleList(
            nn.Sequential(
                ResNeXtBlock(channels_in, channels, cardinality),
                *(ResNeXtBlock(channels, channels, cardinality) for _ in range(blocks - 1)),
            )
            for channels_in, channels, blocks in zip(inputs, widths, blocks_per_level, strict=True)
        )
        self.ups, self.attentions, self.decoders = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(len(widths) - 1, 0, -1):
            channels = widths[level - 1]
            self.ups.append(nn.ConvTranspose2d(widths[level], channels, 2, stride=2))
            self.attentions.append(
                LSHAttention(2 * channels, seed=level, **attention) if level in attention_levels else nn.Identity()
            )
            convolution = _conv_bn_relu if decoder_norm else _conv_relu
            self.decoders.append(nn.Sequential(convolution(2 * channels, channels), convolution(channels, channels)))
        self.head = nn.Conv2d(widths[0], n_out, 1)

    def forward(self, x_N1HW: Tensor) -> Tensor:
        """Return logits (N, n_out, H, W) for grey slices (N, 1, H, W) in 0…1 of any size."""
        x, crop = pad_to_multiple(x_N1HW, 2 ** (len(self.encoders) - 1))
        x = self.stem(x)
        skips: list[Tensor] = []
        for encoder in self.encoders:
            x = encoder(x if not skips else functional.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for up, attention, decoder in zip(self.ups, self.attentions, self.decoders, strict=True):
            x = decoder(attention(torch.cat([skips.pop(), up(x)], dim=1)))
        logits_NCHW: Tensor = self.head(x)[crop]
        return logits_NCHW


def _conv_bn_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return 3×3 convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _conv_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(inplace=True))


def build(scheme: Names, width: Width) -> nn.ModuleDict:
    """Return the one stage in the paper's width, or a compact one with attention at the two deepest levels."""
    n_out = len(background_and(scheme))
    if width == "paper":
        return nn.ModuleDict({"lesion": ResAttUNet(n_out)})
    compact = ResAttUNet(n_out, widths=(24, 48, 96, 192, 256), cardinality=4, attention_levels=(3, 4))
    return nn.ModuleDict({"lesion": compact})


SPEC = NetworkSpec(
    key="res_att_unet",
    title="Residual Attention U-Net",
    paper="Chen, Yao & Zhang 2020, arXiv:2004.05645",
    summary="Looks at each slice by itself and tells ground-glass, consolidation and effusion apart.",
    build=build,
    scheme=("ggo", "consolidation", "effusion"),
    grain="slice",
    multiple_of=16,
    stages=(
        Stage(
            name="lesion",
            streams=(Stream((Square(), Resize(369), Window(-1000, 400))),),
            channels=background_and,
            loss="cross_entropy",
        ),
    ),
    recipe=Recipe(
        learning_rate=1e-3,
        batch=2,
        augmentation=("rotate_90", "rescale"),
        unstated=("batch",),
        otherwise=(
            "It trained for 100 epochs.",
            "It added copies of each image turned by 90°, 180°, 270°, scaled to 0.5 and 1.5; here that is random.",
        ),
    ),
    in_full_precision=("attentions", "encoders.2"),
    encoder=("stem", "encoders"),
)
