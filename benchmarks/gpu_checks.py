"""What of a device's work is compared with the CPU's, and how far apart the two may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gpu_cases import Bench, lesson
from gpu_meter import StepWatch, plain_fp32

from napari_covseg.inference import Segmenter
from napari_covseg.inference.cascade import probabilities_of, region_seen, stage_prediction
from napari_covseg.jobs import drain
from napari_covseg.networks import Checkpoint
from napari_covseg.preprocess import prepared
from napari_covseg.volume import Volume, cropped

Row = dict[str, Any]
Proposals = tuple[list[npt.NDArray[np.float32]], npt.NDArray[Any]]
"""Probabilities of every stage on every slice, or of one patch; labels."""

FIRST_LOSS, LATER_LOSS, MIXED_LOSS = 1e-3, 5e-2, 5e-2
"""Relative differences of a loss that are allowed: at the first step, at the next, with bfloat16 at the first."""

MEAN_PROBABILITY, MIXED_PROBABILITY = 1e-4, 1e-2
"""Mean differences of a probability that are allowed: in fp32 proper, and as shipped."""

LABELS, MIXED_LABELS, CHILDREN = 0.999, 0.98, 0.98
"""Shares of voxels that must get the same label: in fp32 proper, as shipped, and of two children taught alike."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something compared with the CPU's, and what was allowed."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    def row(self) -> Row:
        """Return it as it goes into the JSON."""
        ok = self.value >= self.limit if self.at_least else self.value <= self.limit
        return {"what": self.what, "value": self.value, "limit": self.limit, "at_least": self.at_least, "ok": bool(ok)}


def loss_checks(ours: StepWatch, theirs: StepWatch, mixed: StepWatch) -> list[Row]:
    """Compare the losses of every stage with the CPU's, and report the largest relative differences."""
    pairs = list(zip(ours.stages, theirs.stages, strict=True))
    first = max(_relative(a.losses[0], b.losses[0]) for a, b in pairs)
    later = [_relative(x, y) for a, b in pairs for x, y in zip(a.losses[1:], b.losses[1:], strict=True)]
    blurred = max(_relative(a.losses[0], b.losses[0]) for a, b in zip(mixed.stages, theirs.stages, strict=True))
    checks = [Check("first loss", first, FIRST_LOSS), Check("first loss as shipped", blurred, MIXED_LOSS)]
    return [check.row() for check in (*checks, *([Check("later losses", max(later), LATER_LOSS)] if later else []))]


def _relative(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def compared(bench: Bench, trained: Checkpoint) -> Row:
    """Return the differences of probabilities and labels, in fp32 proper and as shipped, and the checks of them."""
    ours, theirs = Segmenter(trained, bench.device.type), Segmenter(trained, "cpu")
    with plain_fp32():
        reference = _proposals(bench, theirs, theirs)
        plain = _proposals(bench, ours, theirs)
    mixed = _proposals(bench, ours, theirs)
    largest, mean, labels = _difference(plain, reference)
    _, mixed_mean, mixed_labels = _difference(mixed, reference)
    checks = [
        Check("mean probability", mean, MEAN_PROBABILITY),
        Check("labels", labels, LABELS, True),
        Check("mean probability as shipped", mixed_mean, MIXED_PROBABILITY),
        Check("labels as shipped", mixed_labels, MIXED_LABELS, True),
    ]
    return {"largest_difference": largest, "checks": [check.row() for check in checks]}


def _proposals(bench: Bench, segmenter: Segmenter, reference: Segmenter) -> Proposals:
    """Return what a segmenter says of the slices to check, its stages looking where the reference saw something."""
    looked_at = lesson(bench.spec, bench.sizes.check_slices)
    if bench.spec.patch:
        return _of_a_patch(segmenter, looked_at.scan)
    probabilities, labels = [], []
    for index in looked_at.reviewed:
        slab = cropped(looked_at.scan, (index, 0, 0), (index + 1, *looked_at.scan.geometry.shape[1:]))
        probabilities.extend(_by_stage(segmenter, reference, slab))
        labels.append(segmenter.propose(slab).labels)
    return probabilities, np.stack(labels)


def _by_stage(segmenter: Segmenter, reference: Segmenter, slab: Volume) -> list[npt.NDArray[np.float32]]:
    scheme, found = segmenter.checkpoint.card.scheme, []
    regions: dict[str, npt.NDArray[np.bool_]] = {}
    for stage in segmenter.spec.stages:
        module = segmenter.module[stage.name]
        _, prediction = stage_prediction(module, stage, scheme, segmenter.device, slab, regions)
        found.append(prediction.probabilities)
        module = reference.module[stage.name]
        _, seen = stage_prediction(module, stage, scheme, reference.device, slab, regions)
        regions[stage.name] = region_seen(seen.mask(), stage, scheme)
    return found


def _of_a_patch(segmenter: Segmenter, scan: Volume) -> Proposals:
    stage, scheme = segmenter.spec.stages[-1], segmenter.checkpoint.card.scheme
    grey = prepared(scan, stage.streams[0].steps).hu
    with torch.inference_mode():
        patch = torch.from_numpy(np.ascontiguousarray(grey))[None, None].to(segmenter.device)
        probabilities = probabilities_of(segmenter.module[stage.name](patch)[0], stage.channels(scheme))
    return [probabilities], probabilities.argmax(axis=0)


def _difference(ours: Proposals, theirs: Proposals) -> tuple[float, float, float]:
    """Return the largest and the mean difference of the probabilities, and the share of equal labels."""
    apart = np.concatenate([np.abs(a - b).ravel() for a, b in zip(ours[0], theirs[0], strict=True)])
    return float(apart.max()), float(apart.mean()), float((ours[1] == theirs[1]).mean())


def children_alike(bench: Bench, ours: Checkpoint, theirs: Checkpoint) -> float:
    """Return the share of the reviewed voxels that two children label alike, in fp32 proper."""
    looked_at = lesson(bench.spec, bench.sizes.check_slices)
    first, second = (
        drain(Segmenter(c, bench.device.type).segment(looked_at.scan, looked_at.reviewed)) for c in (ours, theirs)
    )
    reviewed = list(looked_at.reviewed)
    return float((first.labels.values[reviewed] == second.labels.values[reviewed]).mean())
