"""The floor to beat: MONAI's plain 2-D U-Net of the compact networks' size, trained by the same recipe."""

from __future__ import annotations

from monai.networks.nets import UNet
from torch import Tensor, nn

from napari_covseg.networks.blocks import pad_to_multiple
from napari_covseg.networks.spec import Names, NetworkSpec, Recipe, Stage, Stream, Width, background_and
from napari_covseg.preprocess import Resize, Square, Window


class PlainUNet(nn.Module):
    """MONAI's U-Net, for slices of any size.

    Parameters
    ----------
    n_out
        Output channels.
    widths
        Channels of its levels; these give 2.1 M parameters.
    """

    def __init__(self, n_out: int, widths: tuple[int, ...] = (20, 40, 80, 160, 256)) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.head = UNet(2, 1, n_out, widths, strides=(2,) * (len(widths) - 1), num_res_units=2, norm="batch")

    def forward(self, x_N1HW: Tensor) -> Tensor:
        """Return logits (N, n_out, H, W)."""
        x, crop = pad_to_multiple(x_N1HW, self.multiple)
        logits_NCHW: Tensor = self.head(x)[crop]
        return logits_NCHW


def build(scheme: Names, _width: Width) -> nn.ModuleDict:
    """Return its one stage; it has one width."""
    return nn.ModuleDict({"lesion": PlainUNet(len(background_and(scheme)))})


SPEC = NetworkSpec(
    key="plain_unet",
    title="plain U-Net (baseline)",
    paper="Ronneberger et al. 2015, arXiv:1505.04597, as MONAI has it",
    summary="What everybody starts with.",
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
    recipe=Recipe(),
)
