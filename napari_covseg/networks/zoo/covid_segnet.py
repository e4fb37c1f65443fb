"""COVID-SegNet: a 3-D residual U-Net with feature variation and progressive atrous spatial pyramid pooling.

Q. Yan et al., "COVID-19 Chest CT Image Segmentation – A Deep Convolutional Neural Network Solution",
arXiv:2004.10987v2 (2020). Sections and equations are the paper's; what it leaves open is resolved as in
specs/covid_segnet.md: softmax over background, lung and lesions (§IV-C, not the sigmoid of §III-A), so that the lung
channel is the lung without its lesions; feature variation at E2–E4, before the residual block; strided 3×3×3
convolutions downwards; one contrast weight per sample; the pyramid adds the *inputs* of neighbouring branches, as the
prose says, not their outputs, as eq. 7 does; neither batch norm nor ReLU before a sigmoid and after the head. The
contrast branch's ``Cov3`` has kernel 1: on the 1×1×1 map of a global average only the centre tap of 3×3×3 ever acts; a
kernel of 3 and another width of the branch than c/2 are an argument away.
The paper's "learning rate decay of 1e-6" per step is practically constant and not in the recipe; epochs, window and
normalisation are ours, the paper names none.

Left out: independent sigmoids for lung and infection (ask for two channels), a weight decay, a target spacing.

Shape suffixes: N batch, C channels, D H W slices, rows and columns, Q a quarter of the channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import Names, NetworkSpec, Recipe, Stage, Stream, Width, background_and
from napari_covseg.preprocess import Window

Level = Literal[1, 2, 3, 4]
Contrast = Literal["global", "channel"]
PyramidResidual = Literal["inputs", "outputs"]
Downsample = Literal["conv", "max", "avg"]
Upsample = Literal["deconv", "trilinear"]

DILATIONS = (1, 2, 4, 8)
LEVELS = 4
COMPACT_CHANNELS = 8


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut (§III-A).

    Parameters
    ----------
    channels_in, channels_out
        The shortcut is a 1×1×1 convolution where they differ.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            _conv_bn_relu(channels_in, channels_out),
            nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels_in, channels_out, 1, bias=False), nn.BatchNorm3d(channels_out)
            )

    def forward(self, x_NCDHW: Tensor) -> Tensor:
        """Return (N, channels_out, D, H, W)."""
        return functional.relu(self.transform(x_NCDHW) + self.shortcut(x_NCDHW))


class ContrastBranch(nn.Module):
    """Weight of all features, learned from their global average as a reader turns the window (§III-B1, eq. 2).

    Parameters
    ----------
    channels
        Width of the map that is weighted.
    contrast
        ``global`` gives one weight per sample; ``channel`` one per channel, the ablation's channel attention.
    reduction
        By which the hidden layer is narrower than the map.
    kernel
        1, or 3 to the letter, which has taps that only ever see padding.
    """

    def __init__(self, channels: int, contrast: Contrast = "global", reduction: int = 2, kernel: int = 1) -> None:
        super().__init__()
        hidden, weights = channels // reduction, 1 if contrast == "global" else channels
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, hidden, kernel, padding=kernel // 2),  # no batch norm: one voxel has no variance
            nn.ReLU(inplace=True),
            nn.Conv3d(hidden, weights, kernel, padding=kernel // 2),
            nn.Sigmoid(),
        )

    def forward(self, f_NCDHW: Tensor) -> Tensor:
        """Return weights in 0…1, (N, 1, 1, 1, 1) or (N, C, 1, 1, 1)."""
        weight: Tensor = self.gate(f_NCDHW)
        return weight


class PositionBranch(nn.Module):
    """Weight of every voxel in every channel (§III-B2).

    Parameters
    ----------
    channels
        Width of the map that is weighted.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            _conv_bn_relu(channels, channels), nn.Conv3d(channels, channels, 3, padding=1), nn.Sigmoid()
        )

    def forward(self, f_NCDHW: Tensor) -> Tensor:
        """Return the attention map A in 0…1, in the shape of its argument."""
        attention: Tensor = self.attention(f_NCDHW)
        return attention


class FeatureVariation(nn.Module):
    """Contrast, position and identity of the features, fused and added to the input (§III-B, Fig. 3).

    Parameters
    ----------
    channels
        Width of input and output.
    contrast, contrast_reduction, contrast_kernel
        As in `ContrastBranch`.
    """

    def __init__(
        self, channels: int, contrast: Contrast = "global", contrast_reduction: int = 2, contrast_kernel: int = 1
    ) -> None:
        super().__init__()
        self.project = _conv_bn_relu(channels, channels, kernel=1)
        self.contrast = ContrastBranch(channels, contrast, contrast_reduction, contrast_kernel)
        self.position = PositionBranch(channels)
        self.fuse = _conv_bn_relu(3 * channels, channels)

    def forward(self, x_NCDHW: Tensor) -> Tensor:
        """Return (N, C, D, H, W)."""
        f_NCDHW: Tensor = self.project(x_NCDHW)
        contrast_NCDHW = self.contrast(f_NCDHW) * f_NCDHW  # eq. 3
        position_NCDHW = self.position(f_NCDHW) * f_NCDHW  # eq. 4
        fused_NCDHW: Tensor = self.fuse(torch.cat([contrast_NCDHW, position_NCDHW, f_NCDHW], dim=1))
        return x_NCDHW + fused_NCDHW  # eq. 1


class ProgressivePyramid(nn.Module):
    """Progressive atrous spatial pyramid pooling, PASPP (§III-C, Fig. 4).

    Parameters
    ----------
    channels
        Width of input and output, a multiple of 4.
    dilations
        Of the four branches. On a map of 8 slices a dilation of 8 sees no slice but its own.
    residual
        What two neighbouring branches share: the ``inputs`` of their atrous convolutions, or the ``outputs``, which
        counts one of them twice.
    """

    def __init__(
        self,
        channels: int,
        dilations: tuple[int, int, int, int] = DILATIONS,
        residual: PyramidResidual = "inputs",
    ) -> None:
        super().__init__()
        quarter, half = channels // 4, channels // 2
        self.residual = residual
        self.projections = nn.ModuleList(_conv_bn_relu(channels, quarter, kernel=1) for _ in dilations)
        self.atrous = nn.ModuleList(_conv_bn_relu(quarter, quarter, dilation=rate) for rate in dilations)
        self.fuse_near = _conv_bn_relu(half, half, kernel=1)
        self.fuse_far = _conv_bn_relu(half, half, kernel=1)
        self.fuse = _conv_bn_relu(channels, channels, kernel=1)

    def forward(self, x_NCDHW: Tensor) -> Tensor:
        """Return (N, C, D, H, W)."""
        p_NQDHW = [projection(x_NCDHW) for projection in self.projections]
        d_NQDHW = [atrous(p) for atrous, p in zip(self.atrous, p_NQDHW, strict=True)]  # eq. 6
        shared_NQDHW = p_NQDHW if self.residual == "inputs" else d_NQDHW
        near_NQDHW, far_NQDHW = shared_NQDHW[0] + shared_NQDHW[1], shared_NQDHW[2] + shared_NQDHW[3]
        first, second, third, fourth = d_NQDHW
        near_NCDHW = self.fuse_near(torch.cat([first + near_NQDHW, second + near_NQDHW], dim=1))  # eqs. 7, 8
        far_NCDHW = self.fuse_far(torch.cat([third + far_NQDHW, fourth + far_NQDHW], dim=1))
        fused_NCDHW: Tensor = self.fuse(torch.cat([near_NCDHW, far_NCDHW], dim=1))  # eq. 9
        return fused_NCDHW


class COVIDSegNet(nn.Module):
    """Four levels down, three up, concatenated skips (§III-A, Fig. 2).

    Parameters
    ----------
    n_out
        Output channels.
    base_channels
        Width of E1; each level down doubles it (§IV-C: 64 to 512).
    fv_levels
        Encoder levels with feature variation. ``(1, 2, 3)`` is §III-A to the letter.
    fv_first
        Whether feature variation comes before the residual block of E2 and E3. At E1 it always comes after, where the
        grey values have become features; at E4 always before the pyramid, which "takes the features extracted with FV".
    contrast, contrast_reduction, contrast_kernel
        As in `ContrastBranch`.
    paspp_dilations, paspp_residual
        As in `ProgressivePyramid`.
    downsample
        A strided convolution, or a pooling before an unstrided one.
    upsample
        A transposed convolution, or a trilinear interpolation before an ordinary one.
    """

    def __init__(
        self,
        n_out: int = 3,
        base_channels: int = 64,
        fv_levels: tuple[Level, ...] = (2, 3, 4),
        fv_first: bool = True,
        contrast: Contrast = "global",
        contrast_reduction: int = 2,
        contrast_kernel: int = 1,
        paspp_dilations: tuple[int, int, int, int] = DILATIONS,
        paspp_residual: PyramidResidual = "inputs",
        downsample: Downsample = "conv",
        upsample: Upsample = "deconv",
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(LEVELS)]

        def varied(level: Level) -> list[nn.Module]:
            width = widths[level - 1]
            settings = (contrast, contrast_reduction, contrast_kernel)
            return [FeatureVariation(width, *settings)] if level in fv_levels else []

        def encoder(level: Level) -> nn.Sequential:
            residual = ResidualBlock(widths[level - 1], widths[level - 1])
            return nn.Sequential(*varied(level), residual) if fv_first else nn.Sequential(residual, *varied(level))

        self.encoders = nn.ModuleList(
            [
                nn.Sequential(ResidualBlock(1, widths[0]), *varied(1)),
                encoder(2),
                encoder(3),
                nn.Sequential(*varied(4), ProgressivePyramid(widths[3], paspp_dilations, paspp_residual)),
            ]
        )
        self.downs = nn.ModuleList(_down(c, downsample) for c in widths[:-1])
        self.ups = nn.ModuleList(_up(c, upsample) for c in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(ResidualBlock(2 * c, c) for c in reversed(widths[:-1]))
        self.head = nn.Conv3d(base_channels, n_out, 1)

    def forward(self, x_N1DHW: Tensor) -> Tensor:
        """Return logits (N, n_out, D, H, W) for grey patches (N, 1, D, H, W) in 0…1 of any size."""
        x, crop = pad_to_multiple(x_N1DHW, 2 ** (LEVELS - 1))
        x = self.encoders[0](x)
        skips: list[Tensor] = []
        for down, encoder in zip(self.downs, list(self.encoders)[1:], strict=True):
            skips.append(x)
            x = encoder(down(x))
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(torch.cat([skips.pop(), up(x)], dim=1))
        logits_NCDHW: Tensor = self.head(x)[crop]
        return logits_NCDHW


def build(scheme: Names, width: Width) -> nn.ModuleDict:
    """Return the one stage in the paper's width, or the same topology with an eighth of its channels."""
    base_channels = 64 if width == "paper" else COMPACT_CHANNELS
    return nn.ModuleDict({"lesion": COVIDSegNet(len(background_lung_and(scheme)), base_channels)})


def background_lung_and(scheme: Names) -> Names:
    """Return the output channels: background, the lung outside any lesion, the lesion classes."""
    background, *lesions = background_and(scheme)
    return (background, "lung", *lesions)


def _conv_bn_relu(channels_in: int, channels_out: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Return a 3-D convolution of unchanged size without bias, batch norm, ReLU (§IV-C)."""
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=False),
        nn.BatchNorm3d(channels_out),
        nn.ReLU(inplace=True),
    )


def _down(channels: int, downsample: Downsample) -> nn.Sequential:
    """Halve the size, double the channels."""
    if downsample != "conv":
        pool = nn.MaxPool3d(2) if downsample == "max" else nn.AvgPool3d(2)
        return nn.Sequential(pool, _conv_bn_relu(channels, 2 * channels))
    return nn.Sequential(
        nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm3d(2 * channels),
        nn.ReLU(inplace=True),
    )


def _up(channels: int, upsample: Upsample) -> nn.Sequential:
    """Double the size and halve the channels, down to ``channels``."""
    if upsample == "trilinear":
        return nn.Sequential(nn.Upsample(scale_factor=2, mode="trilinear"), _conv_bn_relu(2 * channels, channels))
    return nn.Sequential(
        nn.ConvTranspose3d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )


SPEC = NetworkSpec(
    key="covid_segnet",
    title="COVID-SegNet",
    paper="Yan et al. 2020, arXiv:2004.10987",
    summary="Looks at many slices at once, so that a lesion goes on from slice to slice; draws the lungs too.",
    build=build,
    scheme=("infection",),
    grain="patch",
    multiple_of=8,
    stages=(
        Stage(
            name="lesion",
            streams=(Stream((Window(-1000, 400),)),),
            channels=background_lung_and,
            loss="dice_ce",
        ),
    ),
    recipe=Recipe(
        learning_rate=1e-4,
        batch=2,
        augmentation=("random_crop",),
        otherwise=("“Learning rate decay of 1e−6” per step is practically constant, and left out.",),
    ),
    encoder=("encoders", "downs"),
    patch=(64, 128, 128),
)
