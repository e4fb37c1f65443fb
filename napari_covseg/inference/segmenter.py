"""A network at work on a scan; finished slices are told at once, from the one on screen outward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_covseg.inference.cascade import Mask, SliceProposal, slice_proposal
from napari_covseg.inference.devices import chosen_device
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import Checkpoint, NetworkSpec, checkpoint, load
from napari_covseg.networks.spec import BACKGROUND
from napari_covseg.volume import LESIONS, LUNGS, LabelMap, Provenance, Volume, cropped


@dataclass(frozen=True, slots=True, eq=False)
class SliceDone:
    """One finished slice.

    Parameters
    ----------
    index
        From the apex.
    labels
        (H, W) uint8.
    lung
        Where the network knows it.
    uncertain_voxels
        How many of its voxels the network expects to have labelled wrongly; None where it was not asked.
    """

    index: int
    labels: npt.NDArray[np.uint8]
    lung: Mask | None = None
    uncertain_voxels: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What a network proposes, on the reading grid.

    Parameters
    ----------
    labels, lung
        The lung where the network knows it.
    slices
        Indices of the slices it was run on.
    device
        Where.
    disagreement_percent
        (D, H, W) uint8, of several networks how many per cent would have labelled a voxel otherwise.
    probability_percent
        By class name, (D, H, W) uint8; empty unless asked for.
    """

    labels: LabelMap
    lung: LabelMap | None
    slices: tuple[int, ...]
    device: str
    disagreement_percent: npt.NDArray[np.uint8] | None = None
    probability_percent: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


class Canvas:
    """The label maps of a scan while its slices come in.

    Parameters
    ----------
    scan
        In reading order.
    probabilities
        Whether to keep every class's probability too.
    """

    def __init__(self, scan: Volume, *, probabilities: bool = False) -> None:
        self.keeps_probabilities = probabilities
        self.probability_percent: dict[str, npt.NDArray[np.uint8]] = {}
        self.geometry = scan.geometry
        self.values = np.zeros(scan.geometry.shape, dtype=np.uint8)
        self.lung = np.zeros(scan.geometry.shape, dtype=np.uint8)
        self.knows_lung = False
        self.disagreement_percent: npt.NDArray[np.uint8] | None = None

    def filled(self, steps: Iterable[Progress | tuple[int, SliceProposal]]) -> Iterator[Progress | SliceDone]:
        """Keep every proposal as it comes, and yield what is told of it; progress is passed on."""
        for step in steps:
            yield step if isinstance(step, Progress) else self.drawn(*step)

    def drawn(self, index: int, proposal: SliceProposal) -> SliceDone:
        """Keep a slice's proposal and return what is told of it."""
        self.values[index] = proposal.labels
        if proposal.lung is not None:
            self.lung[index], self.knows_lung = proposal.lung, True
        if proposal.disagreement is not None:
            if self.disagreement_percent is None:
                self.disagreement_percent = np.zeros_like(self.values)
            self.disagreement_percent[index] = np.rint(100 * proposal.disagreement)
        if self.keeps_probabilities:
            prediction = proposal.prediction
            for name, plane in zip(prediction.names, prediction.probabilities, strict=True):
                if name != BACKGROUND:
                    whole = self.probability_percent.setdefault(name, np.zeros_like(self.values))
                    whole[index] = np.rint(100 * plane.astype(np.float32))
        return SliceDone(index, proposal.labels, proposal.lung, proposal.prediction.uncertain_voxels())

    def segmentation(self, slices: Sequence[int], made_by: Provenance, device: torch.device) -> Segmentation:
        """Return all that came in."""
        lung = LabelMap(self.lung, self.geometry, LUNGS, made_by) if self.knows_lung else None
        labels = LabelMap(self.values, self.geometry, LESIONS, made_by)
        percents = (self.disagreement_percent, self.probability_percent)
        return Segmentation(labels, lung, tuple(sorted(slices)), device.type, *percents)


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

    def propose(self, slab: Volume) -> SliceProposal:
        """Return what a network of slices says of one slice (1, H, W) of a scan in reading order."""
        return slice_proposal(self.module, self.spec, self.checkpoint.card.scheme, self.device, slab)

    def segment(self, scan: Volume, slices: Sequence[int], *, probabilities: bool = False) -> Job[Segmentation]:
        """Segment some slices, a network of slices in the given order, a network of patches from the apex down.

        Parameters
        ----------
        scan
            In reading order (slices, rows, columns).
        slices
            Indices from the apex.
        probabilities
            Whether to keep every class's probability, in per cent.

        Yields
        ------
        SliceDone, Progress
            After every slice; a network of patches tells its progress after every patch.
        """
        canvas = Canvas(scan, probabilities=probabilities)
        yield from canvas.filled(self.proposals(scan, slices))
        return canvas.segmentation(slices, self._provenance(), self.device)

    def proposals(self, scan: Volume, slices: Sequence[int]) -> Iterator[Progress | tuple[int, SliceProposal]]:
        """Yield every slice's index and proposal as it is finished, and progress; arguments as in `segment`."""
        return self._by_patch(scan, slices) if self.spec.grain == "patch" else self._by_slice(scan, slices)

    def _by_slice(self, scan: Volume, slices: Sequence[int]) -> Iterator[Progress | tuple[int, SliceProposal]]:
        depth, height, width = scan.geometry.shape
        for done, index in enumerate(slices, start=1):
            yield index, self.propose(cropped(scan, (index, 0, 0), (index + 1, height, width)))
            yield Progress(done, len(slices), f"slice {index + 1} of {depth}")

    def _by_patch(self, scan: Volume, slices: Sequence[int]) -> Iterator[Progress | tuple[int, SliceProposal]]:
        from napari_covseg.inference.patches import patch_proposals  # monai is slow to import

        return patch_proposals(self.module, self.spec, self.checkpoint.card.scheme, self.device, scan, slices)

    def _provenance(self) -> Provenance:
        return Provenance(
            source="network",
            network=self.spec.key,
            checkpoint=self.checkpoint.name,
            checkpoint_sha256=self.checkpoint.sha256,
        )


def knows_lung(trained: Checkpoint) -> bool:
    """Whether a checkpoint's network says where the lung is."""
    scheme = trained.card.scheme
    stages = load(trained.card.network).stages
    return any(stage.target == "lung" or "lung" in stage.channels(scheme) for stage in stages)


def segmenting(trained: Checkpoint, device: str, scan: Volume, slices: Sequence[int]) -> Job[Segmentation]:
    """Revive a checkpoint and segment, all within the job, so that loading never blocks the caller."""
    yield Progress(0, len(slices), "waking the network")
    segmenter = Segmenter(trained, device)
    return (yield from segmenter.segment(scan, slices))
