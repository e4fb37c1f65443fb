"""A 3-D network over a scan: overlapping patches, blended; slices are finished as the window moves down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from scipy import ndimage
from torch import nn

from napari_covseg.inference.cascade import SliceProposal, lung_of, probabilities_of
from napari_covseg.jobs import Progress
from napari_covseg.networks import NetworkSpec, Prediction
from napari_covseg.networks.spec import BACKGROUND, Names
from napari_covseg.preprocess import prepared
from napari_covseg.volume import Volume, cropped

OVERLAP = {"cpu": 0.25}
OVERLAP_ELSEWHERE = 0.5
IMPORTANCE_SIGMA = 0.125
BODY_HU = -500
"""Above this is body (or table); patches are laid over its bounding box only."""


def patch_proposals(
    module: nn.ModuleDict, spec: NetworkSpec, scheme: Names, device: torch.device, scan: Volume, slices: Sequence[int]
) -> Iterator[Progress | tuple[int, SliceProposal]]:
    """Yield progress per patch, and index and proposal of every finished slice of a scan in reading order.

    Slices are finished from the apex down. Probabilities of overlapping patches are averaged with a Gaussian
    importance, then decided on (specs/covid_segnet.md, Inference). Slices around those asked for give context.
    """
    if spec.patch is None:
        raise ValueError(f"{spec.key} says no patch size.")
    stage = spec.stages[-1]
    names = stage.channels(scheme)
    (stream,) = stage.streams
    start, stop = _box(scan, slices, spec.patch[0])
    grey = prepared(cropped(scan, start, stop), stream.steps).hu
    patch_size = _patch_for(grey.shape, spec.patch, spec.multiple_of)
    padded, offset = _padded(grey, patch_size)
    windows = _windows(padded.shape, patch_size, OVERLAP.get(device.type, OVERLAP_ELSEWHERE))
    blend = _Blend(len(names), padded.shape, patch_size)
    waiting = sorted(slices)
    for done, window in enumerate(windows, start=1):
        patch = torch.from_numpy(np.ascontiguousarray(padded[window]))[None, None].to(device)
        with torch.inference_mode():
            blend.add(window, probabilities_of(module[stage.name](patch)[0], names))
        yield Progress(done, len(windows), f"block {done} of {len(windows)}")
        finished_below = windows[done][0].start if done < len(windows) else padded.shape[0]
        while waiting and waiting[0] - start[0] + offset[0] < finished_below:
            index = waiting.pop(0)
            inside = blend.plane(index - start[0] + offset[0])
            plane = inside[:, offset[1] : offset[1] + grey.shape[1], offset[2] : offset[2] + grey.shape[2]]
            yield index, _proposal(names, plane, scan.geometry.shape[1:], start[1:])


class _Blend:
    """Weighted sums of patch probabilities and of their weights."""

    def __init__(self, channels: int, shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
        self.sums = np.zeros((channels, *shape), dtype=np.float32)
        self.weights = np.zeros(shape, dtype=np.float32)
        importance = compute_importance_map(patch, mode="gaussian", sigma_scale=IMPORTANCE_SIGMA)
        self.importance: npt.NDArray[np.float32] = importance.clamp_min(1e-3).numpy()

    def add(self, window: tuple[slice, ...], probabilities: npt.NDArray[np.float32]) -> None:
        self.sums[(slice(None), *window)] += probabilities * self.importance
        self.weights[window] += self.importance

    def plane(self, index: int) -> npt.NDArray[np.float32]:
        averaged: npt.NDArray[np.float32] = self.sums[:, index] / self.weights[index]
        return averaged


def _proposal(
    names: Names, plane: npt.NDArray[np.float32], size: tuple[int, ...], corner: Sequence[int]
) -> SliceProposal:
    whole = np.zeros((len(names), *size), dtype=np.float32)
    whole[names.index(BACKGROUND)] = 1.0
    rows, columns = (slice(a, a + n) for a, n in zip(corner, plane.shape[1:], strict=True))
    whole[:, rows, columns] = plane
    prediction = Prediction(names, whole)
    labels = prediction.labels()
    return SliceProposal(prediction, labels, lung_of(prediction, labels, None))


def _box(scan: Volume, slices: Sequence[int], patch_depth: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the box of the body on the slices asked for, and half a patch above and below them."""
    depth, height, width = scan.geometry.shape
    first, last = max(0, min(slices) - patch_depth // 2), min(depth, max(slices) + 1 + patch_depth // 2)
    body = ndimage.binary_opening((scan.hu[first:last] > BODY_HU).any(axis=0), iterations=2)
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    if rows.size == 0:
        return (first, 0, 0), (last, height, width)
    return (first, int(rows[0]), int(columns[0])), (last, int(rows[-1]) + 1, int(columns[-1]) + 1)


def _patch_for(shape: tuple[int, ...], patch: tuple[int, ...], multiple: int) -> tuple[int, ...]:
    """Return the paper's patch, on an axis that has fewer voxels as few as the network can take without padding."""
    return tuple(min(p, -(-n // multiple) * multiple) for p, n in zip(patch, shape, strict=True))


def _padded(grey: npt.NDArray[np.float32], patch: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], tuple[int, ...]]:
    """Pad by replication to at least one patch; also return where the original starts."""
    missing = [max(0, p - n) for p, n in zip(patch, grey.shape, strict=True)]
    before = tuple(m // 2 for m in missing)
    pads = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return np.pad(grey, pads, mode="edge"), before


def _windows(shape: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> list[tuple[slice, ...]]:
    steps = [p if p == n else max(1, int(p * (1 - overlap))) for p, n in zip(patch, shape, strict=True)]
    return sorted(dense_patch_slices(shape, patch, steps), key=lambda window: tuple(s.start for s in window))
