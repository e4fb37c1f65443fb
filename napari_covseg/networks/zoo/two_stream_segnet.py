"""Two-stream SegNet: a cascade of three encoder–decoders, the first fed with structure and texture.

O. Elharrouss, N. Subramanian, S. Al-Maadeed, "An Encoder–Decoder-Based Method for Segmentation of COVID-19 Lung
Infection in CT Images", SN Computer Science (2021), doi:10.1007/s42979-021-00874-4. Sections are the paper's; what it
leaves open is resolved as in specs/two_stream_segnet.md: three networks of one class with weights of their own; both
streams' pooling indices, concatenated, steer the unpooling; VGG-16's 2-2-3-3-3 convolutions per block, widths 32, 64,
128, 256, 256; one PReLU slope per layer; structure and texture for the lung stage only, masked grey images for the two
others. The paper's softmax is the predictor's: a stage returns logits. Scale, regulariser and method of the
decomposition are arguments of its steps. Left out: class weights, streams of bare masks, structure and texture for the
second and third stage, the original image for the third, SegNet's own optimiser.

Shape suffixes: N batch, C channels, H W rows and columns.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import BACKGROUND, Names, NetworkSpec, Recipe, Stage, Stream, Width, background_and
from napari_covseg.preprocess import Resize, Square, Structure, Texture, Window

Indices = Literal["concat", "structure", "texture", "none"]

PAPER_WIDTHS = (32, 64, 128, 256, 256)
COMPACT_WIDTHS = (8, 16, 24, 40, 40)
VGG_16 = (2, 2, 3, 3, 3)


def conv_bn_prelu(channels_in: int, channels_out: int, per_channel: bool = False) -> nn.Sequential:
    """Return 3×3 convolution without bias, batch norm, PReLU with one slope for the layer or one per channel."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.PReLU(channels_out if per_channel else 1),
    )


def unpooled(x_NCHW: Tensor, indices_NCHW: Tensor) -> Tensor:
    """Put every value back where 2×2 max pooling found it, zeros elsewhere: (N, C, 2H, 2W).

    Equal to ``functional.max_unpool2d``, which refuses to run where determinism is demanded; the pools do not overlap,
    so no two values meet.
    """
    N, C, H, W = x_NCHW.shape
    flat = x_NCHW.new_zeros(N, C, 4 * H * W).scatter(2, indices_NCHW.flatten(2), x_NCHW.flatten(2))
    return flat.view(N, C, 2 * H, 2 * W)


class Encoder(nn.Module):
    """The VGG half of SegNet for one stream (§3.2): blocks of convolutions, each with a 2×2 max pooling.

    Parameters
    ----------
    widths
        Channels of the blocks.
    convs_per_block
        Convolutions of each block.
    prelu_per_channel
        One slope per channel instead of one per layer.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = PAPER_WIDTHS,
        convs_per_block: tuple[int, ...] = VGG_16,
        prelu_per_channel: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                conv_bn_prelu(channels_in, channels, prelu_per_channel),
                *(conv_bn_prelu(channels, channels, prelu_per_channel) for _ in range(convs - 1)),
            )
            for channels_in, channels, convs in zip((1, *widths[:-1]), widths, convs_per_block, strict=True)
        )

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the map after the last pooling, and where each pooling found its maxima, finest first."""
        indices: list[Tensor] = []
        for block in self.blocks:
            x_NCHW, found_NCHW = functional.max_pool2d(block(x_NCHW), 2, return_indices=True)
            indices.append(found_NCHW)
        return x_NCHW, indices


class TwoStreamSegNet(nn.Module):
    """One stage: two encoders, their maps concatenated, one decoder that unpools by their indices (Fig. 1, §3.2).

    Parameters
    ----------
    n_out
        Output channels.
    widths
        Channels of each encoder's blocks.
    convs_per_block
        Convolutions of each block, encoder and decoder alike.
    unpool_indices
        Whose indices steer the decoder: both streams' concatenated; the first (``structure``) or second stream's
        (``texture``), after a convolution that fuses both to the width of one; or nobody's, which is
        nearest-neighbour upsampling.
    prelu_per_channel
        One slope per channel instead of one per layer.

    Raises
    ------
    ValueError
        If the widths and the convolutions are not for the same number of blocks.
    """

    def __init__(
        self,
        n_out: int = 2,
        widths: tuple[int, ...] = PAPER_WIDTHS,
        convs_per_block: tuple[int, ...] = VGG_16,
        unpool_indices: Indices = "concat",
        prelu_per_channel: bool = False,
    ) -> None:
        super().__init__()
        self.unpool_indices = unpool_indices
        self.structure = Encoder(widths, convs_per_block, prelu_per_channel)
        self.texture = Encoder(widths, convs_per_block, prelu_per_channel)
        self.fuse: nn.Module = nn.Identity()
        if unpool_indices in ("structure", "texture"):
            self.fuse = conv_bn_prelu(2 * widths[-1], widths[-1], prelu_per_channel)
        else:
            widths = tuple(2 * channels for channels in widths)
        self.decoders = nn.ModuleList(
            nn.Sequential(
                *(conv_bn_prelu(channels, channels, prelu_per_channel) for _ in range(convs - 1)),
                conv_bn_prelu(channels, channels_out, prelu_per_channel),
            )
            for channels, channels_out, convs in zip(
                widths[::-1], (*widths[-2::-1], widths[0]), convs_per_block[::-1], strict=True
            )
        )
        self.head = nn.Conv2d(widths[0], n_out, 3, padding=1)

    def forward(self, a_N1HW: Tensor, b_N1HW: Tensor) -> Tensor:
        """Return logits (N, n_out, H, W) for two streams (N, 1, H, W) of any size."""
        multiple = 2 ** len(self.decoders)
        a, crop = pad_to_multiple(a_N1HW, multiple)
        b, _ = pad_to_multiple(b_N1HW, multiple)
        a, a_indices = self.structure(a)
        b, b_indices = self.texture(b)
        x = self.fuse(torch.cat([a, b], dim=1))
        for decoder in self.decoders:
            x = decoder(self._upsampled(x, a_indices.pop(), b_indices.pop()))
        logits_NCHW: Tensor = self.head(x)[crop]
        return logits_NCHW

    def _upsampled(self, x_NCHW: Tensor, a_NCHW: Tensor, b_NCHW: Tensor) -> Tensor:
        if self.unpool_indices == "none":
            return functional.interpolate(x_NCHW, scale_factor=2.0, mode="nearest")
        if self.unpool_indices == "concat":
            return unpooled(x_NCHW, torch.cat([a_NCHW, b_NCHW], dim=1))
        return unpooled(x_NCHW, a_NCHW if self.unpool_indices == "structure" else b_NCHW)


def lung_channels(_scheme: Names) -> Names:
    """Return the channels of the first stage (§3.3), whatever the scheme."""
    return (BACKGROUND, "lung")


def infection_channels(_scheme: Names) -> Names:
    """Return the channels of the second stage (§3.3), whatever the scheme."""
    return (BACKGROUND, "infection")


def build(scheme: Names, width: Width) -> nn.ModuleDict:
    """Return the three stages in the paper's width, or compact ones of the same topology."""
    widths = PAPER_WIDTHS if width == "paper" else COMPACT_WIDTHS
    return nn.ModuleDict({stage.name: TwoStreamSegNet(len(stage.channels(scheme)), widths) for stage in STAGES})


GREY = (Square(), Resize(512), Window(-1000, 400))

STAGES = (
    Stage(
        name="lung",
        streams=(Stream((*GREY, Structure())), Stream((*GREY, Texture()))),
        channels=lung_channels,
        loss="cross_entropy",
        target="lung",
    ),
    Stage(
        name="infection",
        streams=(Stream(GREY), Stream(GREY, masked_by=("lung",))),
        channels=infection_channels,
        loss="cross_entropy",
        target="infection",
        within=("lung",),
    ),
    Stage(
        name="lesion",
        streams=(Stream(GREY, masked_by=("lung",)), Stream(GREY, masked_by=("infection",))),
        channels=background_and,
        loss="cross_entropy",
        within=("infection",),
    ),
)

SPEC = NetworkSpec(
    key="two_stream_segnet",
    title="Two-stream SegNet",
    paper="Elharrouss, Subramanian & Al-Maadeed 2021, doi:10.1007/s42979-021-00874-4",
    summary="Finds the lungs, then lesions in them, then their type; outside the lungs it marks nothing.",
    build=build,
    scheme=("ggo", "consolidation"),
    grain="slice",
    multiple_of=32,
    stages=STAGES,
    recipe=Recipe(
        learning_rate=1e-3,
        batch=4,
        augmentation=("rotate", "translate", "rescale"),
        unstated=("optimiser", "learning_rate", "batch", "crop"),
        otherwise=(
            "§3.3 augments by rotation and translation, §4.1 by rotation and rescaling; here all three are done.",
            "The later parts learn on what the earlier ones find; how the paper did it, it does not say.",
        ),
    ),
    encoder=("structure", "texture"),
    in_full_precision=("structure", "texture"),
)
