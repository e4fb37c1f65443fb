"""MASC-Net: a CT slice and its equalised copy, seen plainly and through dilated branches, by four encoders.

"Multi-level Atrous Spatial Convolution Network", automatic COVID-19 lesion segmentation in chest CT. Sections are the
paper's; its figures were not at hand and it numbers no equation of the network. What it leaves open is resolved as in
specs/masc_net.md: one encoder per stream (ct, eq, RFB(ct), RFB(eq)), five levels, DAC branches summed as in CE-Net,
one shared 1×1 convolution to a single channel in the RMP. An argument away: four levels, other widths, unshared DAC
weights, other pools, wider pooled maps, pools that round up, a 3×3 RFB branch 0, skips of the CT stream alone. Left
out: concatenated DAC branches, upsampling before the decoder's convolution, batch norm before ReLU (the paper says
after), dropout (it names none), another threshold than one half (it names none).

Shape suffixes: N batch, C channels, H W rows and columns.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import Names, NetworkSpec, Recipe, Stage, Stream, Width, sigmoid_or_softmax
from napari_covseg.preprocess import Equalise, Resize, Square, Window

RFB_RATES = (3, 5, 7)
"""Dilations of the branches beside the plain one of rate 1 (§2.1)."""

DAC_BRANCHES = (("rate_1",), ("rate_3", "mix"), ("rate_1", "rate_3", "mix"), ("rate_1", "rate_3", "rate_5", "mix"))
"""Convolutions in a row per branch (§2.2): 3×3 of some rate, then 1×1; receptive fields 3, 7, 9, 19."""


class RFB(nn.Module):
    """Receptive field block (§2.1): four branches of dilation 1, 3, 5, 7 and a residual connection.

    Every convolution is without bias, followed by batch norm, and linear up to the last sum.

    Parameters
    ----------
    channels_in, channels
        Of the map and of every branch.
    plain_kernel
        Kernel of branch 0; 3 is the strict reading of "1 corresponds to the standard 2D convolution".
    """

    def __init__(self, channels_in: int, channels: int, plain_kernel: int = 1) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_conv_bn(channels_in, channels, (plain_kernel, plain_kernel))])
        for rate in RFB_RATES:
            branch = nn.Sequential(
                _conv_bn(channels_in, channels, (1, 1)),
                _conv_bn(channels, channels, (1, rate)),
                _conv_bn(channels, channels, (rate, 1)),
                _conv_bn(channels, channels, (3, 3), rate),
            )
            self.branches.append(branch)
        self.fuse = _conv_bn(len(self.branches) * channels, channels, (3, 3))
        self.shortcut = _conv_bn(channels_in, channels, (1, 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels, H, W)."""
        fused_NCHW = self.fuse(torch.cat([branch(x_NCHW) for branch in self.branches], dim=1))
        return functional.relu(fused_NCHW + self.shortcut(x_NCHW))


class DAC(nn.Module):
    """Dense atrous convolution (§2.2): x + relu(d1 x) + relu(p d3 x) + relu(p d3 d1 x) + relu(p d5 d3 d1 x).

    ``d1 d3 d5`` are 3×3 convolutions of that rate and ``p`` is a 1×1 convolution, all with bias.

    Parameters
    ----------
    channels
        Of the map, in and out.
    shared
        Whether branches share their weights, as in the code of CE-Net, the paper's [15].
    """

    def __init__(self, channels: int, shared: bool = True) -> None:
        super().__init__()
        self.paths = tuple(
            tuple(name if shared else f"{name}_of_branch_{index}" for name in path)
            for index, path in enumerate(DAC_BRANCHES)
        )
        self.convs = nn.ModuleDict()
        for path, names in zip(self.paths, DAC_BRANCHES, strict=True):
            for own_name, name in zip(path, names, strict=True):
                if own_name not in self.convs:
                    self.convs[own_name] = _atrous(channels, name)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        out_NCHW = x_NCHW
        for branch_NCHW in self.branches(x_NCHW):
            out_NCHW = out_NCHW + functional.relu(branch_NCHW)
        return out_NCHW

    def branches(self, x_NCHW: Tensor) -> list[Tensor]:
        """Return what each branch says before its ReLU."""
        heard: dict[tuple[str, ...], Tensor] = {(): x_NCHW}  # branches that share weights share their beginnings
        for path in self.paths:
            for length in range(1, len(path) + 1):
                begun = path[:length]
                if begun not in heard:
                    heard[begun] = self.convs[begun[-1]](heard[begun[:-1]])
        return [heard[path] for path in self.paths]


class RMP(nn.Module):
    """Residual multi-kernel pooling (§2.2): the map beside its 1×1-convolved max-pooled versions.

    Parameters
    ----------
    channels
        Of the map.
    pools
        Kernel = stride of each pooling; on a smaller map, that map's size.
    channels_pooled
        Of each pooled version, by one 1×1 convolution that all share.
    ceil_mode
        Whether pools keep the last rows and columns that fill no whole window.
    """

    def __init__(
        self, channels: int, pools: tuple[int, ...] = (2, 3, 5), channels_pooled: int = 1, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.pools, self.ceil_mode = pools, ceil_mode
        self.channels_out = channels + len(pools) * channels_pooled
        self.mix = nn.Conv2d(channels, channels_pooled, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return (N, channels_out, H, W), the map itself first."""
        size = x_NCHW.shape[2:]
        maps_NCHW = [x_NCHW]
        for pool in self.pools:
            window = [min(pool, side) for side in size]
            pooled_NCHW = functional.max_pool2d(x_NCHW, window, ceil_mode=self.ceil_mode)
            maps_NCHW.append(functional.interpolate(self.mix(pooled_NCHW), size=size, mode="bilinear"))
        return torch.cat(maps_NCHW, dim=1)


class Encoder(nn.Module):
    """One stream on its way down (§2.3): per level 3×3 convolution, ReLU, batch norm, 2×2 max pooling.

    Parameters
    ----------
    channels_in
        Of the stream.
    widths
        Channels per level, finest first.
    """

    def __init__(self, channels_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (channels_in, *widths[:-1])
        self.levels = nn.ModuleList(_conv_relu_bn(before, after) for before, after in zip(inputs, widths, strict=True))

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        """Return each level's map before it is pooled, then the last one pooled."""
        maps_NCHW: list[Tensor] = []
        for level in self.levels:
            maps_NCHW.append(level(x_NCHW))
            x_NCHW = functional.max_pool2d(maps_NCHW[-1], 2)
        return [*maps_NCHW, x_NCHW]


class MASCNet(nn.Module):
    """Four encoders, DAC, RMP and one decoder with skip connections (Fig. 1).

    Parameters
    ----------
    n_out
        Output channels.
    encoder_widths
        Channels per level of one stream, finest first; four of them are the conclusion's "four-level" reading.
    decoder_widths
        Channels of the decoder's blocks, coarsest first; those beyond the encoder's levels do not up-sample.
    rfb_channels, rfb_branch0_kernel
        Of each `RFB`: its ``channels`` and ``plain_kernel``.
    dac_shared
        As in `DAC`.
    rmp_pools, rmp_channels, rmp_ceil_mode
        Of the `RMP`: its ``pools``, ``channels_pooled`` and ``ceil_mode``.
    skips
        Whose maps the decoder sees: all four streams' or the CT's alone.
    """

    def __init__(
        self,
        n_out: int = 1,
        encoder_widths: tuple[int, ...] = (16, 32, 64, 128, 128),
        decoder_widths: tuple[int, ...] = (256, 128, 64, 32, 16),
        rfb_channels: int = 16,
        rfb_branch0_kernel: int = 1,
        dac_shared: bool = True,
        rmp_pools: tuple[int, ...] = (2, 3, 5),
        rmp_channels: int = 1,
        rmp_ceil_mode: bool = False,
        skips: Literal["all", "ct"] = "all",
    ) -> None:
        super().__init__()
        streams = (1, 1, rfb_channels, rfb_channels)
        self.skip_streams = len(streams) if skips == "all" else 1
        self.rfb_ct, self.rfb_eq = (RFB(1, rfb_channels, rfb_branch0_kernel) for _ in range(2))
        self.encoders = nn.ModuleList(Encoder(channels, encoder_widths) for channels in streams)
        self.dac = DAC(len(streams) * encoder_widths[-1], dac_shared)
        self.rmp = RMP(len(streams) * encoder_widths[-1], rmp_pools, rmp_channels, rmp_ceil_mode)
        self.decoders = nn.ModuleList()
        channels = self.rmp.channels_out
        for width, skip in zip(decoder_widths, reversed(encoder_widths), strict=False):
            self.decoders.append(_conv_relu_bn(channels, width))
            channels = width + self.skip_streams * skip
        self.plain = nn.Sequential()
        for width in decoder_widths[len(encoder_widths) :]:
            self.plain.append(_conv_relu_bn(channels, width))
            channels = width
        self.head = nn.Conv2d(channels, n_out, 1)

    def forward(self, ct_N1HW: Tensor, eq_N1HW: Tensor) -> Tensor:
        """Return logits (N, n_out, H, W) for grey slices 0…1 and their equalised copies (N, 1, H, W) of any size."""
        multiple = 2 ** len(self.decoders)
        ct, crop = pad_to_multiple(ct_N1HW, multiple)
        eq, _ = pad_to_multiple(eq_N1HW, multiple)
        streams = (ct, eq, self.rfb_ct(ct), self.rfb_eq(eq))
        *levels, deepest = zip(*(encode(s) for encode, s in zip(self.encoders, streams, strict=True)), strict=True)
        x = self.rmp(self.dac(torch.cat(deepest, dim=1)))
        for decode, skips in zip(self.decoders, reversed(levels), strict=True):
            x = functional.interpolate(decode(x), scale_factor=2, mode="bilinear")
            x = torch.cat([x, *skips[: self.skip_streams]], dim=1)
        logits_NCHW: Tensor = self.head(self.plain(x))[crop]
        return logits_NCHW


def build(scheme: Names, width: Width) -> nn.ModuleDict:
    """Return the one stage in the paper's width, or one of the same topology with about half the channels."""
    n_out = len(sigmoid_or_softmax(scheme))
    if width == "paper":
        network = MASCNet(n_out)
    else:
        network = MASCNet(n_out, (8, 16, 32, 56, 56), (112, 64, 32, 16, 8), rfb_channels=8)
    return nn.ModuleDict({"lesion": network.apply(_xavier_uniform)})


def _conv_bn(channels_in: int, channels_out: int, kernel: tuple[int, int], rate: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding="same", dilation=rate, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def _conv_relu_bn(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return 3×3 convolution, ReLU, batch norm, in the paper's order (§2.3)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(channels_out)
    )


def _atrous(channels: int, name: str) -> nn.Conv2d:
    if name == "mix":
        return nn.Conv2d(channels, channels, 1)
    rate = int(name.removeprefix("rate_"))
    return nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate)


def _xavier_uniform(module: nn.Module) -> None:
    """Initialise as the paper did (§3.1)."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_CT = (Window(-1000, 1000), Square(outside=0.0), Resize(512))
"""Truncated and normalised first, then resized, as §2 has it: metal and padding do not bleed into their neighbours."""

SPEC = NetworkSpec(
    key="masc_net",
    title="MASC-Net",
    paper="Multi-level Atrous Spatial Convolution Network for COVID-19 lesions in chest CT",
    summary="Looks at each slice twice, as it is and with more contrast; marks lesions and draws no lungs.",
    build=build,
    scheme=("infection",),
    grain="slice",
    multiple_of=32,
    stages=(
        Stage(
            name="lesion", streams=(Stream(_CT), Stream((*_CT, Equalise()))), channels=sigmoid_or_softmax, loss="dice"
        ),
    ),
    recipe=Recipe(learning_rate=1e-3, batch=4, unstated=("batch", "augmentation")),
    encoder=("rfb_ct", "rfb_eq", "encoders"),
)
