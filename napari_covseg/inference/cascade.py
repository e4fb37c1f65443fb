"""One slice through the stages of a network, each looking where the earlier ones saw lung or infection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import nn

from napari_covseg.inference.decomposition import prepared_on
from napari_covseg.networks import NetworkSpec, Prediction
from napari_covseg.networks.spec import Names, Stage, Stream
from napari_covseg.volume import LESIONS, Geometry, Volume, volume_on

Mask = npt.NDArray[np.bool_]

ROI_DILATION_PX = 8
"""How far the thoracic region is widened where effusion is looked for (specs/common.md §2, rule 2)."""

IN_LUNG = ("lung", "ggo", "consolidation", "infection")
"""Classes that lie in the lung; effusion is pleural."""


@dataclass(frozen=True, slots=True, eq=False)
class SliceProposal:
    """What a network says of one slice, on the slice's own grid.

    Parameters
    ----------
    prediction
        Probabilities by class name, (C, H, W).
    labels
        (H, W) uint8, values of `LESIONS`.
    lung
        (H, W), None where the network knows no lung.
    disagreement
        (H, W) float32, of several networks the share that would have labelled a voxel otherwise; None of one alone.
    """

    prediction: Prediction
    labels: npt.NDArray[np.uint8]
    lung: Mask | None
    disagreement: npt.NDArray[np.float32] | None = None


def slice_proposal(
    module: nn.ModuleDict, spec: NetworkSpec, scheme: Names, device: torch.device, slab: Volume
) -> SliceProposal:
    """Return a network's proposal for one slice (1, H, W) of a scan in reading order."""
    regions: dict[str, Mask] = {}
    lung: Mask | None = None
    for stage in spec.stages:
        grid, prediction = stage_prediction(module[stage.name], stage, scheme, device, slab, regions)
        regions[stage.name] = region_seen(prediction.mask(), stage, scheme)
        if stage.target == "lung":
            lung = _home(prediction, grid, slab.geometry).mask()
    at_home = _home(prediction, grid, slab.geometry)
    labels = at_home.labels()
    return SliceProposal(at_home, labels, lung_of(at_home, labels, lung))


def stage_prediction(
    network: nn.Module, stage: Stage, scheme: Names, device: torch.device, slab: Volume, regions: Mapping[str, Mask]
) -> tuple[Geometry, Prediction]:
    """Return what one stage says of a slice, and on which grid, given what the earlier ones saw there."""
    streams = [_stream(stream, slab, regions, device) for stream in stage.streams]
    with torch.inference_mode():
        logits = network(*(torch.from_numpy(stream.hu)[None].to(device) for stream in streams))[0]
    prediction = Prediction(stage.channels(scheme), probabilities_of(logits, stage.channels(scheme)))
    for name in stage.within:
        prediction = prediction.within(regions[name])
    return streams[0].geometry, prediction


def region_seen(mask: Mask, stage: Stage, scheme: Names) -> Mask:
    """Return where later stages look: the thoracic region, filled and widened, where effusion is looked for."""
    return _widened(mask) if stage.target == "lung" and "effusion" in scheme else mask


def lung_of(prediction: Prediction, labels: npt.NDArray[np.uint8], lung: Mask | None) -> Mask | None:
    """Return the lung mask: a lung stage's region without effusion, or a softmax's lung and what lies in it."""
    if lung is not None:
        without_effusion: Mask = lung & (labels != LESIONS["effusion"].value)
        return without_effusion
    return prediction.mask(*IN_LUNG) if "lung" in prediction.names else None


def probabilities_of(logits: torch.Tensor, names: Names) -> npt.NDArray[np.float32]:
    """Return the probabilities (C, …) of one slice's or patch's logits: a softmax where there is a background."""
    probabilities = logits.softmax(dim=0) if "background" in names else logits.sigmoid()
    array: npt.NDArray[np.float32] = probabilities.float().cpu().numpy()
    return array


def _stream(stream: Stream, slab: Volume, regions: Mapping[str, Mask], device: torch.device) -> Volume:
    grey = prepared_on(device, slab, stream.steps)
    for name in stream.masked_by:
        grey = grey.with_voxels(grey.hu * regions[name], grey.geometry)
    return grey


def _widened(region: Mask) -> Mask:
    filled = ndimage.binary_fill_holes(region)
    widened: Mask = ndimage.distance_transform_edt(~filled) <= ROI_DILATION_PX
    return widened & bool(region.any())


def _home(prediction: Prediction, seen_on: Geometry, home: Geometry) -> Prediction:
    """Bring every channel from the network's grid back to the slice's, before anything is decided on it."""
    planes = [volume_on(Volume(channel[None], seen_on), home, 0.0).hu[0] for channel in prediction.probabilities]
    return Prediction(prediction.names, np.stack(planes))
