"""What holds a child to what its parent knows, while it learns what was corrected.

On rehearsed slices and on unlabelled ones of the same scans it is held to what the parent says (distillation); on a
slice that was reviewed, the reader is right and the parent is not heard.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.learner import Beside
from napari_covseg.training.losses import class_log_probabilities, taught_channels
from napari_covseg.training.rehearsal import OF_BEFORE
from napari_covseg.training.source import Batch
from napari_covseg.training.stacks import IGNORED

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
    way
        Share of the way from the parent's weights to those that were learned which the child goes; half of it where it
        has surely forgotten what it rehearsed.
    """

    replay: bool = True
    distil: float = 0.3
    pull: float = 0.0
    freeze_encoder: bool = False
    freeze_batch_norm: bool | None = None
    way: float = 0.5

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

    def beside(module: nn.Module, logits: Tensor, batch: Batch) -> Tensor:
        streams, labels, annotated = batch
        added = logits.new_zeros((), dtype=torch.float32)
        if keeping.distil and (annotated[0] == NOBODY or OF_BEFORE in annotated[0]):
            asked = torch.ones_like(labels, dtype=torch.bool) if OF_BEFORE in annotated[0] else labels != IGNORED
            with torch.no_grad():
                wanted = class_log_probabilities(teacher.to(logits.device)(*streams).float(), channels)
            given = class_log_probabilities(logits.float(), channels)
            added = added + keeping.distil * disagreement(given, wanted, asked)
        for name, weight in module.named_parameters():
            if name in weights and weight.requires_grad:
                added = added + keeping.pull / parts * (weight - weights[name].to(weight.device)).square().sum()
        return added

    return beside


def disagreement(log_given: Tensor, log_wanted: Tensor, asked: Tensor) -> Tensor:
    """Return the Kullback–Leibler divergence of (N, C, …) probabilities, given as logarithms, background first.

    A mean over the voxels asked about, (N, …), where either thinks of a lesion, plus the mean over all of them: the
    background is most of a slice.
    """
    divergence = functional.kl_div(log_given, log_wanted, reduction="none", log_target=True).sum(dim=1)
    doubtful = torch.minimum(log_wanted[:, 0], log_given[:, 0].detach()) < log(1 - LESION_DOUBT)
    parts = (weight.to(divergence) for weight in (doubtful & asked, asked))
    return torch.stack([(divergence * weight).sum() / weight.sum().clamp_min(1) for weight in parts]).sum()


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
