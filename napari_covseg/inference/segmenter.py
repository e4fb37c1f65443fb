"""A network at work on a scan, slice by slice, from the one on screen outward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_covseg.inference.devices import chosen_device
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import Checkpoint, NetworkSpec, Prediction, checkpoint, load
from napari_covseg.preprocess import prepared
from napari_covseg.volume import LESIONS, Geometry, LabelMap, Provenance, Volume, cropped, volume_on


@dataclass(frozen=True, slots=True, eq=False)
class SliceDone:
    """One finished slice: its index from the apex and its labels (H, W) uint8."""

    index: int
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What a network proposes: labels on the scan's reading grid, and the slices it was run on."""

    labels: LabelMap
    slices: tuple[int, ...]
    device: str


class Segmenter:
    """A revived checkpoint on a device.

    Parameters
    ----------
    trained
        The checkpoint.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ValueError
        If the device is not there, or the file does not hold what its card says.
    """

    def __init__(self, trained: Checkpoint, device: str = "auto") -> None:
        self.checkpoint = trained
        self.spec: NetworkSpec = load(trained.card.network)
        self.device = chosen_device(device)
        self.module: nn.ModuleDict = checkpoint.revived(trained).to(self.device)

    def predict(self, slab: Volume) -> Prediction:
        """Return the probabilities (C, H, W) of one slice (1, H, W) of a scan in reading order, on its own grid."""
        stage = self.spec.stages[-1]
        streams = [prepared(slab, stream.steps) for stream in stage.streams]
        with torch.inference_mode():
            logits = self.module[stage.name](*(torch.from_numpy(s.hu)[None].to(self.device) for s in streams))[0]
        names = stage.channels(self.checkpoint.card.scheme)
        exclusive = len(names) > 1
        probabilities = (logits.softmax(dim=0) if exclusive else logits.sigmoid()).float().cpu().numpy()
        return Prediction(names, _home(probabilities, streams[0].geometry, slab.geometry))

    def segment(self, scan: Volume, slices: Sequence[int]) -> Job[Segmentation]:
        """Segment some slices in the given order.

        Parameters
        ----------
        scan
            In reading order (slices, rows, columns).
        slices
            Indices from the apex.

        Yields
        ------
        SliceDone, Progress
            After every slice.
        """
        depth, height, width = scan.geometry.shape
        values = np.zeros(scan.geometry.shape, dtype=np.uint8)
        for done, index in enumerate(slices, start=1):
            prediction = self.predict(cropped(scan, (index, 0, 0), (index + 1, height, width)))
            values[index] = prediction.labels()
            yield SliceDone(index, values[index])
            yield Progress(done, len(slices), f"slice {index + 1} of {depth}")
        provenance = Provenance(
            source="network",
            network=self.spec.key,
            checkpoint=self.checkpoint.name,
            checkpoint_sha256=self.checkpoint.sha256,
        )
        labels = LabelMap(values, scan.geometry, LESIONS, provenance)
        return Segmentation(labels, tuple(sorted(slices)), self.device.type)


def segmenting(trained: Checkpoint, device: str, scan: Volume, slices: Sequence[int]) -> Job[Segmentation]:
    """Revive a checkpoint and segment, all within the job, so that loading never blocks the caller."""
    yield Progress(0, len(slices), "waking the network")
    segmenter = Segmenter(trained, device)
    return (yield from segmenter.segment(scan, slices))


def _home(probabilities: npt.NDArray[np.float32], network: Geometry, scan: Geometry) -> npt.NDArray[np.float32]:
    """Bring every channel from the network's grid back to the slice's, before anything is decided on it."""
    channels = list(_planes(probabilities, network, scan))
    return np.stack(channels)


def _planes(
    probabilities: npt.NDArray[np.float32], network: Geometry, scan: Geometry
) -> Iterator[npt.NDArray[np.float32]]:
    for channel in probabilities:
        yield volume_on(Volume(channel[None], network), scan, outside_hu=0.0).hu[0]
