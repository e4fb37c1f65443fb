"""One augmented sample: a crop of a slice, or of a few neighbouring ones, prepared as a stage's streams want it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Stage, Stream
from napari_covseg.preprocess import Resize, Square, Step, Window, prepared
from napari_covseg.training.augment import REACH, augmentation, augmented
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.stacks import IGNORED, Stack, hounsfield
from napari_covseg.volume import Geometry, Volume

Scalar = TypeVar("Scalar", bound=np.generic)

WANDER = 1 / 3
"""How far, in sides of the crop, its middle may lie from the voxel it was chosen for."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Where to look: the slice in the middle, the label to look at, None for anywhere, and how large a piece."""

    middle: int
    label: int | None
    config: TrainingConfig


@dataclass(frozen=True, slots=True, eq=False)
class CroppedSample:
    """Streams, each (1, H, W) or (1, D, H, W) of grey, and labels (H, W) or (D, H, W) uint8."""

    streams: list[Tensor]
    labels: Tensor


def cropped_sample(
    stack: Stack, spec: NetworkSpec, stage: Stage, crop: Crop, rng: np.random.Generator
) -> CroppedSample:
    """Return a piece of a stack, augmented, as the streams of a stage.

    A step that looks at a whole slice, as equalisation does, is given the whole augmented slice before it is cut.
    """
    window, derived = _intensity_steps(spec, stage)
    depth = crop.config.depth if spec.grain == "patch" else 1
    side, height = crop.config.crop, stack.grey.shape[1]
    seed = int(rng.integers(2**31))
    if all(step.local for steps in derived for step in steps):
        box = _box(stack.labels[crop.middle], crop, rng)
        frame = side
    else:
        box, frame = (0, 0, height), height
    grey, labels, regions = _cut(stack, stage, crop.middle, depth, box)
    shown = torch.from_numpy(window_of(grey, window))
    transform = augmentation(crop.config.augmentation, frame, seed)
    shown, moved, seen = augmented(transform, shown, torch.from_numpy(labels), torch.from_numpy(regions))
    for name in stage.within:
        moved[~_seen_by(name, stage, seen, len(shown))] = IGNORED  # whatever it says there is cut away
    streams = [
        _masked(_derived(shown, steps), stream, stage, seen)
        for steps, stream in zip(derived, stage.streams, strict=True)
    ]
    if frame > side:
        rows, columns = _window_in(moved[depth // 2].numpy(), crop, rng)
        streams, moved = [stream[..., rows, columns] for stream in streams], moved[..., rows, columns]
    if spec.grain == "patch":
        return CroppedSample([stream[None] for stream in streams], moved)
    return CroppedSample(streams, moved[0])


def window_of(grey: npt.NDArray[np.uint8], window: Window) -> npt.NDArray[np.float32]:
    """Return stored grey through a window, 0…1."""
    shown: npt.NDArray[np.float32] = (hounsfield(grey) - window.low_hu) / (window.high_hu - window.low_hu)
    return np.clip(shown, 0, 1, out=shown).astype(np.float32, copy=False)


def regions_of(stage: Stage) -> tuple[str, ...]:
    """Return the earlier stages whose regions mask a stage's streams or bound what it says, in order of first use."""
    masking = (name for stream in stage.streams for name in stream.masked_by)
    return tuple(dict.fromkeys((*masking, *stage.within)))


def _intensity_steps(spec: NetworkSpec, stage: Stage) -> tuple[Window, list[tuple[Step, ...]]]:
    """Return the one window of a stage, and per stream what follows it."""
    windows = {step for stream in stage.streams for step in stream.steps if isinstance(step, Window)}
    if len(windows) != 1:
        raise ValueError(f"The streams of {spec.title} do not share one window.")
    derived = [
        tuple(step for step in stream.steps if not isinstance(step, Window | Square | Resize))
        for stream in stage.streams
    ]
    return windows.pop(), derived


def _box(labels: npt.NDArray[np.uint8], crop: Crop, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return top, left and side of a crop's surroundings; they may reach beyond the slice."""
    reach = int(np.ceil(crop.config.crop * REACH))
    reach += (reach - crop.config.crop) % 2  # as many on either side, lest a crop be half a pixel off
    row, column = _middle(labels, crop, rng)
    return row - reach // 2, column - reach // 2, reach


def _middle(labels: npt.NDArray[np.uint8], crop: Crop, rng: np.random.Generator) -> tuple[int, int]:
    """Return the middle of a crop near a voxel of its label, anywhere without one, inside the slice if it fits."""
    side = crop.config.crop
    size = np.array(labels.shape)
    found = np.flatnonzero(labels == crop.label) if crop.label is not None else np.empty(0, int)
    if found.size:
        at = np.array(np.unravel_index(int(found[rng.integers(found.size)]), labels.shape), dtype=float)
        at += rng.uniform(-WANDER, WANDER, 2) * side
    else:
        at = rng.uniform(0, size)
    low, high = np.minimum(side / 2, size / 2), np.maximum(size - side / 2, size / 2)
    row, column = np.clip(at, low, high).astype(int)
    return int(row), int(column)


def _window_in(labels: npt.NDArray[np.uint8], crop: Crop, rng: np.random.Generator) -> tuple[slice, slice]:
    row, column = _middle(labels, crop, rng)
    side = crop.config.crop
    top, left = (max(0, min(at - side // 2, n - side)) for at, n in zip((row, column), labels.shape, strict=True))
    return slice(top, top + side), slice(left, left + side)


def _cut(
    stack: Stack, stage: Stage, middle: int, depth: int, box: tuple[int, int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Cut grey, labels and regions, one after the other; beyond the slice is air, beyond the stack nobody looked."""
    first = middle - depth // 2
    wanted = np.arange(first, first + depth)
    slices = wanted.clip(0, len(stack.grey) - 1)
    labels = _padded_cut(stack.labels[slices], box)
    labels[wanted != slices] = IGNORED
    seen = [_padded_cut(stack.regions[name][slices], box) for name in regions_of(stage)]
    regions: npt.NDArray[np.bool_] = np.concatenate(seen) if seen else np.zeros((1, *labels.shape[1:]), dtype=bool)
    return _padded_cut(stack.grey[slices], box), labels, regions


def _padded_cut(planes: npt.NDArray[Scalar], box: tuple[int, int, int]) -> npt.NDArray[Scalar]:
    top, left, side = box
    cut = np.zeros((len(planes), side, side), dtype=planes.dtype)
    _, height, width = planes.shape
    rows, columns = (slice(max(0, at), min(n, at + side)) for at, n in ((top, height), (left, width)))
    inside = planes[:, rows, columns]
    y, x = rows.start - top, columns.start - left
    cut[:, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    return cut


def _derived(grey: Tensor, steps: Sequence[Step]) -> Tensor:
    if not steps:
        return grey
    array = grey.numpy()
    return torch.from_numpy(prepared(Volume(array, Geometry(array.shape, np.eye(4))), steps).hu)


def _masked(grey: Tensor, stream: Stream, stage: Stage, seen: Tensor) -> Tensor:
    """Blacken what lies outside the regions a stream is masked by, as at inference."""
    for name in stream.masked_by:
        grey = grey * _seen_by(name, stage, seen, len(grey))
    return grey


def _seen_by(name: str, stage: Stage, seen: Tensor, depth: int) -> Tensor:
    """Return the region of one earlier stage, of all that were cut one after the other."""
    at = regions_of(stage).index(name) * depth
    return seen[at : at + depth]
