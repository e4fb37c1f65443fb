"""CHS-Net: two cascaded residual attention inception U-Nets, the lung first, then the infection within it.

N. S. Punn, S. Agarwal, "CHS-Net: A Deep Learning Approach for Hierarchical Segmentation of COVID-19 Infected CT
Images", arXiv:2012.07079 (2020). Sections and equations are the paper's; what it leaves open is resolved as in
specs/chs_net.md. `Choices` holds the alternatives that cost one argument; ``widths`` says how channels grow (×1.5 from
32 gives the published 4.2 M parameters for both networks) and how many stages there are. Adam at 1e-3 stands for "SGD
as weights optimiser, Adam as learning rate optimiser", the mean over pixels for the sum of eq. 13, three of twenty
checks for the 15 of 100 epochs after which training stops early.

Left out: a depthwise separable fusion of the inception branches, hybrid pooling that keeps the input's channels, p maps
instead of one in eq. 11, batch norm before the sigmoid, Fourier transforms over (W, C), the lung mask as a second input
of the second network, a soft mask, training both networks end to end through it, and stochastic gradient descent.

Shape suffixes: N batch, C channels, H W rows and columns, h w half as many or the pooled size, K L rows and columns of
a spectrum, of which a real image needs half the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import Names, NetworkSpec, Recipe, Stage, Stream, Width, sigmoid_or_softmax
from napari_covseg.preprocess import Resize, Square, Window

Padding = Literal["valid", "same"]
Norm = Literal["forward", "ortho"]
Gate = Literal["relu", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the paper leaves open or says twice; the defaults are argued in specs/chs_net.md.

    Parameters
    ----------
    inception_kernels
        (1, 3, 5) in eq. 3, (2, 3, 5) in §1.4; an even kernel is padded at the right and bottom.
    spectral_norm
        ``forward`` keeps the mean; ``ortho``, the unitary transform of eq. 2, doubles it at every 2× pool.
    spectral_same
        What spectral pooling does at full size: keep half of the band, or nothing at all.
    spectral_relu
        Whether a ReLU follows spectral pooling.
    depth_gate, spatial_gate
        Activation of the attention descriptors of eqs. 8 and 11.
    strided_kernel
        3 or 2: side of the strided convolution of eq. 10 and of the transposed ones.
    """

    inception_kernels: tuple[int, ...] = (1, 3, 5)
    spectral_norm: Norm = "forward"
    spectral_same: Literal["half_band", "identity"] = "half_band"
    spectral_relu: bool = False
    depth_gate: Gate = "relu"
    spatial_gate: Gate = "sigmoid"
    strided_kernel: Literal[2, 3] = 3


DEFAULT = Choices()

WIDEST_IN_BFLOAT16 = 3
"""On a CPU: the gradients of a wider depthwise kernel take torch 2.13 three times as long in bfloat16 as in float32."""


class DSC(nn.Module):
    """Depthwise separable convolution (§1.2, eq. 5): one kernel per channel, then 1×1 across channels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, kernel, padding="same", groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)
        self.is_wide = kernel > WIDEST_IN_BFLOAT16

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H, W)."""
        if x_NCHW.device.type == "cpu" and torch.is_autocast_enabled("cpu") and self.is_wide:
            with torch.autocast("cpu", enabled=False):
                filtered_NCHW = self.depthwise(x_NCHW.float())
        else:
            filtered_NCHW = self.depthwise(x_NCHW)
        mixed_NCHW: Tensor = self.pointwise(filtered_NCHW)
        return mixed_NCHW


class SpectralPool(nn.Module):
    """Keep the low frequencies of every channel (§3.1.1, eq. 2).

    Parameters
    ----------
    padding
        ``valid`` halves rows and columns, rounding down; ``same`` keeps the size and half of the band.
    choices
        Norm, what ``same`` means, and whether a ReLU follows.
    """

    def __init__(self, padding: Padding, choices: Choices = DEFAULT) -> None:
        super().__init__()
        self.padding, self.choices = padding, choices

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, C, H // 2, W // 2), or (N, C, H, W)."""
        H, W = x_NCHW.shape[-2:]
        pooled = x_NCHW
        if self.padding == "valid":
            pooled = spectral_pool(x_NCHW, (H // 2, W // 2), self.choices.spectral_norm)
        elif self.choices.spectral_same == "half_band":
            pooled = half_band(x_NCHW)
        return functional.relu(pooled) if self.choices.spectral_relu else pooled


def spectral_pool(x_NCHW: Tensor, size: tuple[int, int], norm: Norm = "forward") -> Tensor:
    """Return the image of ``size`` that has the lowest frequencies of another.

    The row and column at the Nyquist frequency of an even size are the mean of both signs, so the result is real.
    """
    h, w = size
    with torch.autocast(x_NCHW.device.type, enabled=False):
        spectrum_NCKL = _half_spectrum(x_NCHW, w // 2 + 1, norm)
        K, half = spectrum_NCKL.shape[-2], h // 2
        low, high = spectrum_NCKL[..., : h - half, :], spectrum_NCKL[..., K - half :, :]
        if h % 2 == 0:
            nyquist = (spectrum_NCKL[..., half : half + 1, :] + high[..., :1, :]) / 2
            high = torch.cat([nyquist, high[..., 1:, :]], dim=-2)
        rows_NChL = torch.fft.ifft(torch.cat([low, high], dim=-2), dim=-2, norm=norm)
        if w % 2 == 0:  # the mean of both signs is the real part, which irfft does not take on every device
            rows_NChL = torch.cat([rows_NChL[..., :-1], rows_NChL[..., -1:].real], dim=-1)
        pooled_NChw: Tensor = torch.fft.irfft(rows_NChL, n=w, dim=-1, norm=norm)
    return pooled_NChw.to(x_NCHW.dtype)


def half_band(x_NCHW: Tensor) -> Tensor:
    """Return the image without what 2× pooling would lose: frequencies above a quarter of the sampling rate."""
    H, W = x_NCHW.shape[-2:]
    with torch.autocast(x_NCHW.device.type, enabled=False):
        spectrum_NCKL = _half_spectrum(x_NCHW, W // 4 + 1, "forward")
        kept_K = torch.fft.fftfreq(H, device=x_NCHW.device).abs() <= 1 / 4
        rows_NCHL = torch.fft.ifft(spectrum_NCKL * kept_K[:, None], dim=-2, norm="forward")
        smooth_NCHW: Tensor = torch.fft.irfft(rows_NCHL, n=W, dim=-1, norm="forward")
    return smooth_NCHW.to(x_NCHW.dtype)


def _half_spectrum(x_NCHW: Tensor, columns: int, norm: Norm) -> Tensor:
    """Return the first columns of `torch.fft.rfft2`, in single precision at least, sparing those that are dropped."""
    exact = x_NCHW if x_NCHW.dtype == torch.float64 else x_NCHW.float()
    columns_NCHL = torch.fft.rfft(exact, dim=-1, norm=norm)[..., :columns]
    spectrum_NCKL: Tensor = torch.fft.fft(columns_NCHL, dim=-2, norm=norm)
    return spectrum_NCKL


class HybridPool(nn.Module):
    """Max and spectral pooling side by side, merged by a 1×1 convolution (§3.1.1).

    Parameters
    ----------
    channels_in, channels_out
        Of the input and of the merged map.
    padding
        ``valid`` halves rows and columns; ``same`` keeps them.
    """

    def __init__(self, channels_in: int, channels_out: int, padding: Padding, choices: Choices = DEFAULT) -> None:
        super().__init__()
        self.padding = padding
        self.spectral = SpectralPool(padding, choices)
        self.merge = nn.Conv2d(2 * channels_in, channels_out, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H // 2, W // 2), or (N, channels_out, H, W)."""
        highest = functional.max_pool2d(x_NCHW, 2) if self.padding == "valid" else max_pool_same(x_NCHW)
        merged_NCHW: Tensor = self.merge(torch.cat([highest, self.spectral(x_NCHW)], dim=1))
        return merged_NCHW


def max_pool_same(x_NCHW: Tensor) -> Tensor:
    """Return the highest of each pixel and its right, lower and lower right neighbour; outside is −∞.

    Without gradients it is 20 times cheaper as two shifted maxima; with them `max_pool2d` is the faster, on a CPU with
    channels last.
    """
    if torch.is_grad_enabled() and x_NCHW.requires_grad:
        padded = functional.pad(x_NCHW, (0, 1, 0, 1), value=-inf).contiguous(memory_format=torch.channels_last)
        pooled = functional.max_pool2d(padded, 2, stride=1)
        return pooled.contiguous() if x_NCHW.is_contiguous() else pooled
    x = functional.pad(x_NCHW, (0, 1, 0, 1), mode="replicate")
    x = torch.maximum(x[..., :-1, :], x[..., 1:, :])
    return torch.maximum(x[..., :-1], x[..., 1:])


class InceptionConv(nn.Module):
    """Depthwise separable convolutions of three sizes beside a hybrid pool, merged (§3.1.2, eqs. 3–5)."""

    def __init__(self, channels_in: int, channels_out: int, choices: Choices = DEFAULT) -> None:
        super().__init__()
        operators = [DSC(channels_in, channels_out, kernel) for kernel in choices.inception_kernels]
        pool = HybridPool(channels_in, channels_out, "same", choices)
        self.branches = nn.ModuleList(_bn_relu(branch, channels_out) for branch in (*operators, pool))  # eq. 4
        self.merge = _bn_relu(nn.Conv2d(len(self.branches) * channels_out, channels_out, 1), channels_out)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H, W)."""
        maps = [_with_whole_gradient(branch(x_NCHW)) for branch in self.branches]
        merged_NCHW: Tensor = self.merge(torch.cat(maps, dim=1))  # eq. 3
        return merged_NCHW


def _with_whole_gradient(x_NCHW: Tensor) -> Tensor:
    """Copy the gradient of a map that is joined with others: as a slice of theirs it is slow to compute with."""
    if x_NCHW.requires_grad:
        is_last = x_NCHW.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_last else torch.contiguous_format
        x_NCHW.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return x_NCHW


class RIB(nn.Module):
    """Residual inception block (§3.1): two inception convolutions, and a 3×3 shortcut; no activation after the sum."""

    def __init__(self, channels_in: int, channels_out: int, choices: Choices = DEFAULT) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            InceptionConv(channels_in, channels_out, choices), InceptionConv(channels_out, channels_out, choices)
        )
        self.shortcut = nn.Sequential(DSC(channels_in, channels_out, 3), nn.BatchNorm2d(channels_out))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H, W)."""
        summed_NCHW: Tensor = self.transform(x_NCHW) + self.shortcut(x_NCHW)
        return summed_NCHW


class DepthAttention(nn.Module):
    """Spectral depth attention (§3.2.1): weigh the channels by what global spectral pooling leaves of them.

    Pooled to 1×1 a spectrum has but its constant term, so this is the mean, as in global average pooling.
    """

    def __init__(self, channels: int, choices: Choices = DEFAULT) -> None:
        super().__init__()
        self.descriptor = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 2, channels, 1),
            _gate(choices.depth_gate),
        )
        self.refine = _bn_relu(nn.Conv2d(channels, channels, 1), channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return F_d, (N, C, H, W)."""
        weight_NC11 = self.descriptor(x_NCHW.mean(dim=(-2, -1), keepdim=True))  # eq. 8
        refined_NCHW: Tensor = self.refine(weight_NC11 * x_NCHW)  # eq. 9
        return refined_NCHW


class SpatialAttention(nn.Module):
    """Spectral spatial attention (§3.2.2): weigh the pixels of a skip by the encoder's next deeper map.

    Parameters
    ----------
    channels, channels_deep
        Of the skip and of the deeper map, which has half its rows and columns.
    """

    def __init__(self, channels: int, channels_deep: int, choices: Choices = DEFAULT) -> None:
        super().__init__()
        kernel = choices.strided_kernel
        self.from_skip = nn.Conv2d(channels, channels_deep, kernel, stride=2, padding=kernel // 3)
        self.from_deep = nn.Conv2d(channels_deep, channels_deep, 1)
        self.norm = nn.BatchNorm2d(channels_deep)
        self.descriptor = nn.Sequential(nn.Conv2d(channels_deep, 1, 1), _gate(choices.spatial_gate))
        self.refine = _bn_relu(nn.Conv2d(channels, channels, 1), channels)

    def forward(self, skip_NCHW: Tensor, deep_NChw: Tensor) -> Tensor:
        """Return F_s, (N, channels, H, W)."""
        gamma_NChw = functional.relu(self.norm(self.from_skip(skip_NCHW) + self.from_deep(deep_NChw)))  # eq. 10
        weight_N1hw = self.descriptor(gamma_NChw)
        weight_N1HW = functional.interpolate(weight_N1hw, scale_factor=2.0, mode="bilinear")  # eq. 11
        refined_NCHW: Tensor = self.refine(weight_N1HW * skip_NCHW)  # eq. 12
        return refined_NCHW


class RAIUNet(nn.Module):
    """Residual attention inception U-Net (§3, Figs. 5 and 6); CHS-Net is two of them.

    Parameters
    ----------
    n_out
        Output channels: 1 for a sigmoid, else a softmax.
    widths
        Channels of the encoder's levels, the bottleneck last.
    choices
        How the paper's open questions are answered.
    """

    def __init__(
        self, n_out: int = 1, widths: tuple[int, ...] = (32, 48, 72, 108, 162), choices: Choices = DEFAULT
    ) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        self.encoders = nn.ModuleList(RIB(i, o, choices) for i, o in zip(inputs, widths, strict=True))
        self.pools = nn.ModuleList(HybridPool(channels, channels, "valid", choices) for channels in widths[:-1])
        self.ups, self.depth_attentions, self.spatial_attentions, self.decoders = (nn.ModuleList() for _ in range(4))
        for channels, deep in reversed(list(pairwise(widths))):
            self.ups.append(_twice_as_large(deep, channels, choices.strided_kernel))
            self.depth_attentions.append(DepthAttention(channels, choices))
            self.spatial_attentions.append(SpatialAttention(channels, deep, choices))
            self.decoders.append(RIB(2 * channels, channels, choices))
        self.head = nn.Conv2d(widths[0], n_out, 1)

    def forward(self, x_N1HW: Tensor) -> Tensor:
        """Return logits (N, n_out, H, W) for grey slices (N, 1, H, W) in 0…1 of any size."""
        x, crop = pad_to_multiple(x_N1HW, 2 ** len(self.pools))
        maps = [self.encoders[0](x)]
        for pool, encoder in zip(self.pools, self.encoders[1:], strict=True):
            maps.append(encoder(pool(maps[-1])))
        x = deep = maps.pop()
        for up, depth_attention, spatial_attention, decoder in zip(
            self.ups, self.depth_attentions, self.spatial_attentions, self.decoders, strict=True
        ):
            skip = maps.pop()
            x = decoder(torch.cat([up(x), spatial_attention(depth_attention(skip), deep)], dim=1))
            deep = skip
        logits_NCHW: Tensor = self.head(x)[crop]
        return logits_NCHW


def _bn_relu(operator: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(operator, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _gate(name: Gate) -> nn.Module:
    return nn.ReLU() if name == "relu" else nn.Sigmoid()


def _twice_as_large(channels_in: int, channels_out: int, kernel: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, kernel, 2, padding=kernel // 3, output_padding=kernel // 3)


def build(scheme: Names, width: Width) -> nn.ModuleDict:
    """Return the lung's and the lesions' network, in the paper's width or a compact one."""
    widths = (32, 48, 72, 108, 162) if width == "paper" else (12, 24, 48, 84, 120)
    lesion_channels = len(sigmoid_or_softmax(scheme))
    return nn.ModuleDict({"lung": RAIUNet(1, widths), "lesion": RAIUNet(lesion_channels, widths)})


def _lung(_scheme: Names) -> Names:
    return ("lung",)


STEPS = (Square(), Resize(256), Window(-1000, 400))

SPEC = NetworkSpec(
    key="chs_net",
    title="CHS-Net",
    paper="Punn & Agarwal 2020, arXiv:2012.07079",
    summary="Finds the lungs on each slice, then the lesions within them; outside the lungs it marks nothing.",
    build=build,
    scheme=("infection",),
    grain="slice",
    multiple_of=16,
    stages=(
        Stage(name="lung", streams=(Stream(STEPS),), channels=_lung, loss="bce_dice", target="lung"),
        Stage(
            name="lesion",
            streams=(Stream(STEPS, masked_by=("lung",)),),
            channels=sigmoid_or_softmax,
            loss="bce_dice",
            within=("lung",),
        ),
    ),
    recipe=Recipe(
        learning_rate=1e-3,
        batch=8,
        patience=3,
        unstated=("learning_rate", "batch", "augmentation", "patience"),
        otherwise=(
            "“SGD as training weights optimizer, Adam as a learning rate optimizer” is taken for Adam.",
            "Eq. 13 sums the cross-entropy over the pixels; here it is their mean, lest it drown the Dice.",
            "The second part learns on the lung that the first one finds; how the paper did it, it does not say.",
        ),
    ),
    encoder=("encoders", "pools"),
)
