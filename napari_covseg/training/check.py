"""What a training is checked with as it goes: its loss on a small, fixed sample of the held-out patients' slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.batches import Place, batch_source
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.evenly import evenly
from napari_covseg.training.losses import Teaching, stage_loss, teaching
from napari_covseg.training.source import Batch
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED, Stack

CHECK_SAMPLES = 24
"""Slices, or blocks of a 3-D network, that a check looks at, at most: a second or two beside the steps in between."""

CROPS_OF_A_SLICE = 2
"""A sample of fewer slices is looked at in so many crops of each."""

Check = Callable[[nn.Module], float]


def check_sample(stacks: Sequence[Stack], spec: NetworkSpec) -> list[Stack]:
    """Return at most `CHECK_SAMPLES` slices of some patients, evenly of each, spread over those that bear a lesion.

    The stacks of a network of patches are returned whole: it needs their neighbours, and they are cut when drawn.
    """
    if spec.grain == "patch":
        return list(stacks)
    by_patient: dict[str, list[Place]] = defaultdict(list)
    for index, stack in enumerate(stacks):
        by_patient[stack.patient].extend((index, k) for k in range(len(stack.grey)) if _is_looked_at(stack, k))
    share = max(1, CHECK_SAMPLES // max(1, len(by_patient)))
    chosen = [place for places in by_patient.values() for place in _spread(places, stacks, share)]
    return [_slice_of(stacks[index], k) for index, k in sorted(chosen)[:CHECK_SAMPLES]]


def held_out_check(
    sample: Sequence[Stack],
    spec: NetworkSpec,
    stage: Stage,
    scheme: Names,
    config: TrainingConfig,
    device: torch.device,
) -> Check | None:
    """Return the function from averaged weights to their loss on a sample, the same crops every time, not augmented.

    Parameters
    ----------
    sample
        As `check_sample` gives it, with the regions of the stages before.
    spec, stage, scheme, config
        What is trained, and how: the crop, the loss.
    device
        Where to compute.

    Returns
    -------
    Callable or None
        None where nothing in the sample can judge this stage. What is one-sided judges nothing: the best on it would be
        who finds a lung everywhere.
    """
    judges = [stack for stack in sample if _judges(teaching(stage, scheme, stack.annotated))]
    if not judges:
        return None
    batch_at = batch_source(judges, spec, stage, scheme, replace(config, augmentation=(), seed=0))
    loss = stage_loss(stage, scheme, config.loss)
    batches: list[Batch] = []

    def check(network: nn.Module) -> float:
        if not batches:
            crops = min(CHECK_SAMPLES, CROPS_OF_A_SLICE * sum(len(stack.grey) for stack in judges))
            batches.extend(batch_at(step) for step in range(max(1, crops // config.batch)))
        network.eval()
        with torch.inference_mode():
            losses = [
                loss(network(*(stream.to(device) for stream in streams)), labels.to(device), annotated)
                for streams, labels, annotated in batches
            ]
        return float(torch.stack(losses).mean())

    return check


def _judges(lesson: Teaching) -> bool:
    return lesson.says_something and not lesson.is_one_sided


def _is_looked_at(stack: Stack, index: int) -> bool:
    return bool((stack.labels[index] != IGNORED).any())


def _spread(places: Sequence[Place], stacks: Sequence[Stack], count: int) -> list[Place]:
    """Return so many of a patient's slices, evenly spread, of those that bear a lesion if there are any."""
    bearing = [(i, k) for i, k in places if np.isin(stacks[i].labels[k], range(1, HEALTHY_LUNG)).any()]
    return evenly(bearing or places, count)


def _slice_of(stack: Stack, index: int) -> Stack:
    regions = {name: region[index : index + 1] for name, region in stack.regions.items()}
    one = slice(index, index + 1)
    return replace(stack, grey=stack.grey[one], labels=stack.labels[one], regions=regions)
