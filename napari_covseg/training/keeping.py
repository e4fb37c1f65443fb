"""What holds a child to what its parent knows, while it learns what was corrected.

On rehearsed slices and on unlabelled ones of the same scans it is held to what the parent says (distillation).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.loop import Beside
from napari_covseg.training.losses import class_probabilities, taught_channels
from napari_covseg.training.rehearsal import OF_BEFORE

NOBODY: frozenset[str] = frozenset()
"""What was looked for on unlabelled slices."""

LESION_DOUBT = 0.05
"""Where parent or child gives any lesion at least this probability, there is something to forget."""

FEW_SLICES = 32
"""With fewer reviewed slices batch norms stay as they are: their statistics would be those of one patient."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a child is kept from forgetting; each is one argument.

    Parameters
    ----------
    replay
        Whether rehearsed slices are a part of every step.
    distil
        Weight of the parent's say on rehearsed slices and on unlabelled ones of the same scans; 0 leaves these out.
    pull
        Weight of the squared distance of the weights to the parent's (L2 towards the parent); 0 for none.
    freeze_encoder
        Learn only what decides, not what looks.
    freeze_batch_norm
        Keep the statistics of batch norms; None for those with `FEW_SLICES` or fewer.
    """

    replay: bool = True
    distil: float = 0.3
    pull: float = 0.0
    freeze_encoder: bool = False
    freeze_batch_norm: bool | None = None

    def batch_norm_stays(self, slices: int) -> bool:
        """Whether batch norms stay as they are for so many reviewed slices."""
        return slices <= FEW_SLICES if self.freeze_batch_norm is None else self.freeze_batch_norm


def held_to(parent: nn.Module, stage: Stage, scheme: Names, keeping: Keeping, parts: int) -> Beside:
    """Return what is added to the loss: the parent's say on all but reviewed slices, the pull towards its weights.

    Parameters
    ----------
    parent
        The stage as the parent has it; copied.
    stage, scheme
        Its channels.
    keeping
        The weights of both.
    parts
        Of a step; the pull is shared out over them.
    """
    teacher = deepcopy(parent).eval().requires_grad_(False)
    weights = {name: weight.detach().clone() for name, weight in parent.named_parameters()} if keeping.pull else {}
    channels = taught_channels(stage, scheme)

    def beside(
        module: nn.Module, streams: tuple[Tensor, ...], logits: Tensor, annotated: list[frozenset[str]]
    ) -> Tensor:
        added = logits.new_zeros((), dtype=torch.float32)
        if keeping.distil and (annotated[0] == NOBODY or OF_BEFORE in annotated[0]):
            with torch.no_grad():
                wanted = class_probabilities(teacher.to(logits.device)(*streams).float(), channels)
            added = added + keeping.distil * disagreement(class_probabilities(logits.float(), channels), wanted)
        for name, weight in module.named_parameters():
            if name in weights and weight.requires_grad:
                added = added + keeping.pull / parts * (weight - weights[name].to(weight.device)).square().sum()
        return added

    return beside


def disagreement(probabilities: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback–Leibler divergence of (N, C, …) probabilities from those wanted, background first.

    A mean over the voxels where either thinks of a lesion, plus the mean over all: the background is most of a slice.
    """
    wanted, given = wanted.clamp_min(1e-6), probabilities.clamp_min(1e-6)
    divergence = (wanted * (wanted.log() - given.log())).sum(dim=1)
    doubtful = (torch.minimum(wanted[:, 0], given[:, 0].detach()) < 1 - LESION_DOUBT).to(divergence)
    return (divergence * doubtful).sum() / doubtful.sum().clamp_min(1) + divergence.mean()


def between(parent: nn.Module, child: nn.Module, share: float) -> dict[str, Tensor]:
    """Return the weights that lie a share of the way from a parent to its child; 1 is the child."""
    start, end = parent.state_dict(), child.state_dict()
    return {
        name: torch.lerp(start[name].to(weight), weight, share) if weight.is_floating_point() else weight.clone()
        for name, weight in end.items()
    }


def freeze(module: nn.Module, parts: Names) -> None:
    """Take the named parts of a stage's module out of training."""
    for name, parameter in module.named_parameters():
        if name.split(".")[0] in parts:
            parameter.requires_grad_(False)
