"""What the earlier stages of a cascade saw, so that a later one learns on what it will be given.

The trained earlier stage is asked, as at inference, and what the reference says belongs there is added: a later stage
learns to refuse what an earlier one took in error, and no lesion is blackened that it is to learn from. (Our
specs/chs_net.md has its second stage learn on references first and on predictions then; this is both at once.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from napari_covseg.inference.cascade import region_seen, stage_prediction
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.losses import labels_within
from napari_covseg.training.stacks import Region, Stack
from napari_covseg.volume import Geometry, Volume


def with_regions(
    stacks: Sequence[Stack], network: nn.Module, stage: Stage, scheme: Names, device: torch.device
) -> Job[list[Stack]]:
    """Return the stacks knowing what one trained stage sees on every annotated slice; yields progress per stack.

    Parameters
    ----------
    stacks
        Of a network of slices, with the regions of the stages before.
    network, stage
        The trained stage.
    scheme
        Lesion classes of the network.
    device
        Where to compute.
    """
    network.to(device).eval()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as at inference, to the last bit
    done = []
    for index, stack in enumerate(stacks):
        yield Progress(index, len(stacks), f"finding the {stage.name} of {stack.case}", aside=True)
        planes = [_region(stack, k, network, stage, scheme, device) for k in range(len(stack.grey))]
        done.append(stack.with_region(stage.name, np.stack(planes)))
    return done


def _region(stack: Stack, index: int, network: nn.Module, stage: Stage, scheme: Names, device: torch.device) -> Region:
    belongs = np.isin(stack.labels[index], labels_within(stage, scheme))
    hu = stack.grey_hu[index : index + 1]
    slab = Volume(hu, Geometry(hu.shape, np.eye(4)))
    seen = {name: region[index] for name, region in stack.regions.items()}
    _, prediction = stage_prediction(network, stage, scheme, device, slab, seen)
    return region_seen(prediction.mask() | belongs, stage, scheme)
