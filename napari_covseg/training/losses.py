"""Losses that claim nothing the annotator did not say.

A case in which only effusion was looked for teaches p(effusion) against p(anything else), never "healthy"; label 4
("opacity, type unspecified") teaches p(GGO) + p(consolidation). Each set of annotated classes therefore merges the
network's channels into groups, and the loss is taken on the merged probabilities (the marginal loss).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from napari_covseg.networks.spec import BACKGROUND, Names, NetworkSpec
from napari_covseg.volume import LESIONS

IGNORED = 255
"""A target value that teaches nothing."""

OPACITIES = ("ggo", "consolidation")
"""What label 4, infection, is the union of."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How channels merge for one set of annotated classes.

    Parameters
    ----------
    groups
        Each a tuple of channel names; the first holds the background and everything not annotated.
    """

    groups: tuple[Names, ...]

    def merged(self, probabilities: Tensor, channels: Names) -> Tensor:
        """Return (N, G, …) summed probabilities of (N, C, …)."""
        return torch.stack(
            [sum(probabilities[:, channels.index(name)] for name in group) for group in self.groups],  # type: ignore[misc]
            dim=1,
        )

    def target(self, labels: Tensor) -> Tensor:
        """Return the group index per voxel of `LESIONS` values, (N, …) long; what no group owns is `IGNORED`."""
        target = torch.full(labels.shape, IGNORED, dtype=torch.long, device=labels.device)
        target[labels == 0] = 0
        for index, group in enumerate(self.groups[1:], start=1):
            for name in _labels_of(group):
                target[labels == LESIONS[name].value] = index
        return target


def grouping(annotated: frozenset[str], channels: Names) -> Grouping:
    """Return how a softmax's channels merge when only the annotated classes were looked for."""
    known: list[Names] = [(name,) for name in channels if name in annotated]
    if "infection" in annotated and "infection" not in channels:
        known.append(tuple(name for name in OPACITIES if name in channels and name not in annotated))
    taught = {name for group in known for name in group}
    rest = tuple(name for name in channels if name == BACKGROUND or name not in taught)
    return Grouping((rest, *(group for group in known if group)))


def marginal_loss(logits: Tensor, labels: Tensor, annotated: Sequence[frozenset[str]], channels: Names) -> Tensor:
    """Return cross-entropy plus soft Dice on merged probabilities, a mean over the batch.

    Parameters
    ----------
    logits
        (N, C, …).
    labels
        (N, …) values of `LESIONS`; `IGNORED` voxels teach nothing.
    annotated
        One set per batch element.
    channels
        Names of the C channels; a softmax.
    """
    probabilities = logits.float().softmax(dim=1)
    by_grouping: dict[Grouping, list[int]] = defaultdict(list)
    for index, names in enumerate(annotated):
        by_grouping[grouping(names, channels)].append(index)
    losses = [
        _grouped_loss(group.merged(probabilities[members], channels), group.target(labels[members])) * len(members)
        for group, members in by_grouping.items()
    ]
    return torch.stack(losses).sum() / len(annotated)


def refuse_unteachable(spec: NetworkSpec, scheme: Names) -> None:
    """Refuse a network that this loss cannot teach yet: a cascade, one of patches, or one with a sigmoid head.

    Raises
    ------
    ValueError
        If it is one of these.
    """
    channels = spec.stages[-1].channels(scheme)
    if len(spec.stages) > 1 or spec.grain == "patch" or BACKGROUND not in channels or "lung" in channels:
        raise ValueError(f"{spec.title} with the classes {', '.join(scheme)} cannot be trained yet in this version.")


def _grouped_loss(merged: Tensor, target: Tensor) -> Tensor:
    known = target != IGNORED
    cross_entropy = functional.nll_loss(merged.clamp_min(1e-6).log(), target, ignore_index=IGNORED, reduction="sum")
    one_hot = functional.one_hot(target.where(known, 0), merged.shape[1]).movedim(-1, 1).to(merged)
    known_voxels = known.unsqueeze(1).to(merged)
    dice: Tensor = DiceLoss(include_background=False, batch=True, smooth_nr=1.0, smooth_dr=1.0)(
        merged * known_voxels, one_hot * known_voxels
    )
    mean_cross_entropy: Tensor = cross_entropy / known.sum().clamp_min(1)
    return mean_cross_entropy + dice


def _labels_of(group: Names) -> Names:
    """Return the label names a group of channels owns; a whole union also owns `infection`."""
    return (*group, "infection") if set(group) == set(OPACITIES) else group
