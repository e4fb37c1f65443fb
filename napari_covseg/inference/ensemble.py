"""Several networks asked about one scan: the mean of their probabilities by class name, and where they disagree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_covseg.inference.cascade import Mask, SliceProposal
from napari_covseg.inference.segmenter import Canvas, Segmentation, Segmenter, knows_lung
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import Card, Checkpoint, Prediction, available, checkpoint, lineage
from napari_covseg.networks.registry import ALL_NETWORKS
from napari_covseg.networks.spec import Names, background_and
from napari_covseg.volume import Provenance, Volume


class Ensemble:
    """Several segmenters that answer as one, with the same interface.

    Parameters
    ----------
    members
        Segmenters whose checkpoints know the same lesion classes, in whatever order.

    Raises
    ------
    ValueError
        If there is none, or their classes differ: a mean over other questions would mean nothing.
    """

    def __init__(self, members: Sequence[Segmenter]) -> None:
        if not members:
            raise ValueError("An ensemble needs at least one network with trained weights.")
        schemes = {frozenset(member.checkpoint.card.scheme) for member in members}
        if len(schemes) > 1:
            known = "; ".join(f"{m.checkpoint.name}: {', '.join(m.checkpoint.card.scheme)}" for m in members)
            raise ValueError(f"Networks that know different classes cannot vote together ({known}).")
        self.members = tuple(members)
        self.scheme: Names = members[0].checkpoint.card.scheme
        self.device = members[0].device

    @property
    def checkpoint(self) -> Checkpoint:
        """A card for all of them together; there is no such file."""
        digest = hashlib.sha256("".join(m.checkpoint.sha256 for m in self.members).encode()).hexdigest()
        card = Card(
            network=ALL_NETWORKS,
            width=self.members[0].checkpoint.card.width,
            scheme=self.scheme,
            trained_on="; ".join(f"{m.checkpoint.name} on {m.checkpoint.card.trained_on}" for m in self.members),
        )
        return Checkpoint(Path(ALL_NETWORKS), digest, card)

    def segment(self, scan: Volume, slices: Sequence[int], *, probabilities: bool = False) -> Job[Segmentation]:
        """Segment some slices with every member; yields and returns as `Segmenter.segment` does.

        Networks of patches go first, since they finish no slice before many; their probabilities are kept in fp16.
        """
        canvas = Canvas(scan, probabilities=probabilities)
        yield from canvas.filled(self.proposals(scan, slices))
        return canvas.segmentation(
            slices, Provenance(source="network", network=ALL_NETWORKS, checkpoint=ALL_NETWORKS), self.device
        )

    def proposals(self, scan: Volume, slices: Sequence[int]) -> Iterator[Progress | tuple[int, SliceProposal]]:
        """Yield every slice's index and joint proposal, and progress."""
        of_patches = [member for member in self.members if member.spec.grain == "patch"]
        of_slices = [member for member in self.members if member.spec.grain != "patch"]
        kept: dict[int, list[SliceProposal]] = {index: [] for index in slices}
        for member in of_patches:
            for step in member.proposals(scan, slices):
                if isinstance(step, Progress):
                    yield replace(step, doing=f"{member.spec.title}, {step.doing}")
                else:
                    kept[step[0]].append(_small(step[1]))
        for done, index in enumerate(slices, start=1):
            said = kept.pop(index)
            for member in of_slices:
                said.extend(p for _, p in _finished(member.proposals(scan, [index])))
            yield index, joint(said, self.scheme)
            yield Progress(done, len(slices), f"slice {index + 1} of {scan.geometry.shape[0]}")


def members_of(network: str, name: str | Path | None = None) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that answer for a key: one, or for `ALL_NETWORKS` the first of every network that has any.

    Raises
    ------
    ValueError
        If there is none, or a checkpoint is named for all networks at once.
    """
    if network != ALL_NETWORKS:
        return (checkpoint.find(network, name),)
    if name is not None:
        raise ValueError("All networks together use the program's weights; name a checkpoint for one network only.")
    first = [lineage.first(key) for key in available()]
    if not any(first):
        raise ValueError("No network has trained weights; train one with 'covseg train'.")
    return tuple(one for one in first if one is not None)


def woken(trained: Sequence[Checkpoint], device: str = "auto") -> Segmenter | Ensemble:
    """Return a segmenter for one checkpoint, an ensemble for more."""
    members = [Segmenter(one, device) for one in trained]
    return members[0] if len(members) == 1 else Ensemble(members)


def lung_network(trained: Sequence[Checkpoint], folder: Path | None = None) -> Checkpoint | None:
    """Return who draws the lungs where none of some checkpoints can: the best measured one that does.

    Returns
    -------
    Checkpoint or None
        None where one of them draws the lungs itself.

    Raises
    ------
    ValueError
        If no network with trained weights knows the lung.
    """
    if any(knows_lung(one) for one in trained):
        return None
    for key in checkpoint.best_first(folder):
        one = lineage.first(key, folder)
        if one is not None and knows_lung(one):
            return one
    raise ValueError("No network with trained weights knows the lung; train one that does, or do without the lungs.")


def joint(proposals: Sequence[SliceProposal], scheme: Names) -> SliceProposal:
    """Return the mean of several proposals for one slice, and where they disagree.

    Parameters
    ----------
    proposals
        Of one slice, (C, H, W) each, with all classes of the scheme among their channels; other channels, such as
        lung, count as background.
    scheme
        Names of the classes, in the order of the result's channels after background.

    Returns
    -------
    SliceProposal
        Its lung is where at least half of the networks that know the lung see it, without effusion.
    """
    lesions = np.mean([_of(p.prediction, scheme) for p in proposals], axis=0, dtype=np.float32)
    mean = Prediction(background_and(scheme), np.concatenate([1 - lesions.sum(axis=0, keepdims=True), lesions]))
    labels = mean.labels()
    against = np.asarray(np.mean([p.labels != labels for p in proposals], axis=0), dtype=np.float32)
    lungs: list[Mask] = [p.lung for p in proposals if p.lung is not None]
    lung: Mask | None = np.mean(lungs, axis=0) >= 0.5 if lungs else None
    return SliceProposal(mean, labels, lung, against)


def _of(prediction: Prediction, scheme: Names) -> npt.NDArray[np.float32]:
    return np.stack([prediction.probabilities[prediction.names.index(name)] for name in scheme]).astype(np.float32)


def _small(proposal: SliceProposal) -> SliceProposal:
    prediction = Prediction(proposal.prediction.names, proposal.prediction.probabilities.astype(np.float16))
    return replace(proposal, prediction=prediction)


def _finished(
    steps: Iterator[Progress | tuple[int, SliceProposal]],
) -> Iterator[tuple[int, SliceProposal]]:
    return (step for step in steps if not isinstance(step, Progress))
