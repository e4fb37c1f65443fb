"""Losses that claim nothing the annotator did not say.

A case in which only effusion was looked for teaches p(effusion) against p(anything else), never "healthy"; label 4
("opacity, type unspecified") teaches p(GGO) + p(consolidation), also beside voxels whose type was said; a voxel outside
every lesion teaches "lung or background" where no lung mask is known. What a label says depends on the classes somebody
looked for and on what a stage is to find, so each pair of these has its `Teaching`: how the network's channels merge
into groups, and which group each label means. The loss is taken on the merged probabilities (the marginal loss).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from napari_covseg.networks.spec import BACKGROUND, Names, Stage
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED
from napari_covseg.volume import LESIONS

OPACITIES = ("ggo", "consolidation")
"""What label 4, infection, is the union of."""

INFECTION, EFFUSION = LESIONS["infection"].value, LESIONS["effusion"].value
NAMES = {lesion.value: lesion.name for lesion in LESIONS}
OPACITY_LABELS = (*(LESIONS[name].value for name in OPACITIES), INFECTION)

MIXTURES = {
    "ce_plus_dice": (1.0, 1.0),
    "dice_ce": (0.5, 0.5),
    "bce_dice": (0.5, 0.5),
    "cross_entropy": (1.0, 0.0),
    "dice": (0.0, 1.0),
}
"""Weights of cross-entropy and soft Dice by the name of a loss; the first is the shipped recipe's."""


@dataclass(frozen=True, slots=True)
class Teaching:
    """What the labels of a kind of annotation say to the channels of a stage.

    Parameters
    ----------
    groups
        Each a tuple of channel names whose probabilities are summed; the first is what no other group claims.
    group_of
        The group a label means, one per label value 0 … `HEALTHY_LUNG`; `IGNORED` where it says nothing. From
        ``len(groups)`` on it is one of the unions.
    unions
        Groups, by index, whose sum a label may mean where nobody said which: label 4, though both types are told apart.
    """

    groups: tuple[Names, ...]
    group_of: tuple[int, ...]
    unions: tuple[tuple[int, ...], ...] = ()

    @property
    def says_something(self) -> bool:
        """Whether there is any lesson at all: an effusion scan has none for a head that knows only infection."""
        return len({group for group in self.group_of if group != IGNORED}) > 0 and len(self.groups) > 1

    @property
    def is_one_sided(self) -> bool:
        """Whether it says where something is and never where it is not: who finds it everywhere makes no mistake."""
        return self.says_something and len({group for group in self.group_of if group != IGNORED}) == 1

    def merged(self, log_probabilities: Tensor, channels: Names) -> Tensor:
        """Return (N, G, …) logarithms of summed probabilities, from logarithms (N, C, …)."""
        members = [[channels.index(name) for name in group] for group in self.groups]
        return _summed(log_probabilities, members)

    def target(self, labels: Tensor) -> Tensor:
        """Return the group, or union of groups, per voxel of labels, (N, …) long, as `group_of` counts them."""
        table = torch.full((256,), IGNORED, dtype=torch.long)
        table[: len(self.group_of)] = torch.tensor(self.group_of)
        return table.to(labels.device)[labels.long()]


def teaching(stage: Stage, scheme: Names, annotated: frozenset[str]) -> Teaching:
    """Return what a kind of annotation teaches one stage of a network.

    Parameters
    ----------
    stage
        The stage; its target says what it is to find.
    scheme
        The network's lesion classes.
    annotated
        Classes somebody looked for, ``lung`` among them where a lung mask is there.
    """
    if stage.target == "lung":
        return _of_a_mask("lung", _lung_labels(scheme, annotated))
    if stage.target == "infection":
        return _of_a_mask("infection", _infection_labels(scheme, annotated))
    return _of_lesions(taught_channels(stage, scheme), annotated)


def taught_channels(stage: Stage, scheme: Names) -> Names:
    """Return the channels as the loss sees them: a lone sigmoid is a softmax of background and itself."""
    channels = stage.channels(scheme)
    return channels if BACKGROUND in channels else (BACKGROUND, *channels)


def labels_within(stage: Stage, scheme: Names) -> tuple[int, ...]:
    """Return the labels that lie in the region a lung or infection stage is to find, whoever looked for what."""
    lesions = (*OPACITY_LABELS, EFFUSION) if "effusion" in scheme else OPACITY_LABELS
    return (*lesions, HEALTHY_LUNG) if stage.target == "lung" else lesions


def marginal_loss(
    logits: Tensor,
    labels: Tensor,
    annotated: Sequence[frozenset[str]],
    *,
    stage: Stage,
    scheme: Names,
    mixture: tuple[float, float] = MIXTURES["ce_plus_dice"],
) -> Tensor:
    """Return weighted cross-entropy and soft Dice on merged probabilities, a mean over what says something.

    Parameters
    ----------
    logits
        (N, C, …).
    labels
        (N, …) values of `LESIONS`, `HEALTHY_LUNG`, or `IGNORED`, which teaches nothing.
    annotated
        One set per batch element.
    stage, scheme
        Which network, and its lesion classes.
    mixture
        Weights of the two losses.

    Raises
    ------
    ValueError
        If a head has several independent sigmoids.
    """
    channels = taught_channels(stage, scheme)
    log_probabilities = class_log_probabilities(logits.float(), channels)
    by_teaching: dict[Teaching, list[int]] = defaultdict(list)
    for index, names in enumerate(annotated):
        lesson = teaching(stage, scheme, names)
        if lesson.says_something:
            by_teaching[lesson].append(index)
    if not by_teaching:
        return logits.sum() * 0.0
    losses = [
        _grouped_loss(
            lesson, lesson.merged(log_probabilities[members], channels), lesson.target(labels[members]), mixture
        )
        * len(members)
        for lesson, members in by_teaching.items()
    ]
    return torch.stack(losses).sum() / sum(len(members) for members in by_teaching.values())


def stage_loss(stage: Stage, scheme: Names, name: str | None) -> partial[Tensor]:
    """Return the loss of a stage; without a name, the paper's own."""
    return partial(marginal_loss, stage=stage, scheme=scheme, mixture=MIXTURES[name or stage.loss])


def _of_a_mask(name: str, group_of: tuple[int, ...]) -> Teaching:
    return Teaching(((BACKGROUND,), (name,)), group_of)


def _lung_labels(scheme: Names, annotated: frozenset[str]) -> tuple[int, ...]:
    """Only a lung mask teaches the lung; effusion, where looked for, is thoracic region (common.md §2 rule 2).

    What lies outside a lung mask is outside the region, whether or not effusion was looked for (decision 7).
    """
    masked = "lung" in annotated
    outside, inside = (0, 1) if masked else (IGNORED, IGNORED)
    effusion = 1 if "effusion" in scheme and (masked or "effusion" in annotated) else IGNORED
    return _table({0: outside, EFFUSION: effusion, HEALTHY_LUNG: inside, **dict.fromkeys(OPACITY_LABELS, inside)})


def _infection_labels(scheme: Names, annotated: frozenset[str]) -> tuple[int, ...]:
    """Any lesion of the scheme; what is outside every lesion is known only where all of them were looked for."""
    with_effusion = "effusion" in scheme
    opacities_known = set(OPACITIES) <= annotated or "infection" in annotated
    in_lung = 0 if opacities_known else IGNORED
    elsewhere = in_lung if "effusion" in annotated or not with_effusion else IGNORED
    effusion = 1 if with_effusion else IGNORED
    opacity = 1 if {*OPACITIES, "infection"} & annotated else IGNORED
    return _table({0: elsewhere, EFFUSION: effusion, HEALTHY_LUNG: in_lung, **dict.fromkeys(OPACITY_LABELS, opacity)})


def _of_lesions(channels: Names, annotated: frozenset[str]) -> Teaching:
    groups: list[Names] = [(name,) for name in channels if name in annotated and name != "lung"]
    claimed = {name for group in groups for name in group}
    if "infection" in channels and set(OPACITIES) <= annotated and "infection" not in claimed:
        groups.append(("infection",))
    elif "infection" in annotated and "infection" not in channels:
        groups.append(tuple(name for name in OPACITIES if name in channels and name not in claimed))
    groups = [group for group in groups if group]
    claimed = {name for group in groups for name in group}
    lung: Names = ()
    if "lung" in channels and "lung" in annotated:
        lung = tuple(n for n in channels if n not in claimed and (n == "lung" or n in (*OPACITIES, "infection")))
        groups.append(lung)
    rest = tuple(name for name in channels if name not in claimed and name not in lung)
    ordered = (rest, *groups)
    healthy = ordered.index(lung) if lung else 0
    meant = {0: 0, HEALTHY_LUNG: healthy, **{label: _group_of(label, ordered[1:]) for label in range(1, INFECTION + 1)}}
    either = tuple(index for index, group in enumerate(ordered) if index and set(group) <= set(OPACITIES))
    told_apart = {name for index in either for name in ordered[index]} == set(OPACITIES)
    if meant[INFECTION] != IGNORED or not told_apart:
        return Teaching(ordered, _table(meant))
    return Teaching(ordered, _table({**meant, INFECTION: len(ordered)}), (either,))


def _group_of(label: int, groups: tuple[Names, ...]) -> int:
    """Return the group a lesion's label means: its own, or one that holds all it can be."""
    name = NAMES[label]
    could_be = set(OPACITIES) if name == "infection" else {name}
    for index, group in enumerate(groups, start=1):
        if "lung" in group:
            continue
        if name in group or could_be <= set(group) or (name in OPACITIES and group == ("infection",)):
            return index
    return IGNORED


def _table(meant: dict[int, int]) -> tuple[int, ...]:
    return tuple(meant[label] for label in range(HEALTHY_LUNG + 1))


def class_log_probabilities(logits: Tensor, channels: Names) -> Tensor:
    """Return (N, C, …) logarithms of the probabilities of the channels as the loss sees them (`taught_channels`).

    Logarithms from the start: a class whose probability has sunk below what a float tells from nothing still gets its
    gradient, where the logarithm of a clamped probability would leave it dead for good.

    Raises
    ------
    ValueError
        If a head has several independent sigmoids.
    """
    if logits.shape[1] == len(channels):
        return logits.log_softmax(dim=1)
    if logits.shape[1] == 1 and len(channels) == 2:
        return torch.cat([functional.logsigmoid(-logits), functional.logsigmoid(logits)], dim=1)
    raise ValueError("Several independent sigmoids cannot be taught; give the classes a softmax.")


def _summed(logarithms: Tensor, sets: Sequence[Sequence[int]]) -> Tensor:
    """Return (N, S, …) logarithms of the probabilities of sets of channels."""
    return torch.stack([logarithms[:, list(members)].logsumexp(dim=1) for members in sets], dim=1)


def _grouped_loss(lesson: Teaching, log_merged: Tensor, target: Tensor, mixture: tuple[float, float]) -> Tensor:
    known = target != IGNORED
    log_united = _summed(log_merged, lesson.unions) if lesson.unions else log_merged[:, :0]
    each = torch.cat([log_merged, log_united], dim=1)
    cross_entropy = functional.nll_loss(each, target, ignore_index=IGNORED, reduction="sum")
    mean_cross_entropy: Tensor = cross_entropy / known.sum().clamp_min(1)
    return mixture[0] * mean_cross_entropy + mixture[1] * _dice(lesson, log_merged, log_united, target)


def _dice(lesson: Teaching, log_merged: Tensor, log_united: Tensor, target: Tensor) -> Tensor:
    """Return the mean soft Dice loss over all groups but the first, and over the unions that any voxel means.

    A voxel that means a union is left out of the groups: which of them it is in, nobody said. The union is judged
    everywhere, as what its groups make up together.
    """
    count = len(lesson.groups)
    of_one = target < count
    judged = of_one.unsqueeze(1).to(log_merged)
    one_hot = functional.one_hot(target.where(of_one, 0), count).movedim(-1, 1).to(log_merged) * judged
    found, wanted = [log_merged.exp() * judged], [one_hot]
    for number, union in enumerate(lesson.unions):
        unsaid = target == count + number
        if unsaid.any():
            found.append((log_united[:, number].exp() * (target != IGNORED)).unsqueeze(1))
            wanted.append((one_hot[:, list(union)].sum(dim=1) + unsaid).unsqueeze(1))
    dice: Tensor = DiceLoss(include_background=False, batch=True, smooth_nr=1.0, smooth_dr=1.0)(
        torch.cat(found, dim=1), torch.cat(wanted, dim=1)
    )
    return dice
