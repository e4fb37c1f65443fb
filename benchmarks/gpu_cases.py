"""What the parts of gpu.py work on: pieces of the bundled synthetic sample, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from napari_covseg.io import (
    read_labels,
    read_volume,
    sample_lesion,
    sample_lung,
    sample_scan,
    write_labels,
    write_volume,
)
from napari_covseg.io.cases import Case, find_cases
from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Names, Width
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.finetune_request import short_run
from napari_covseg.training.lesson import Lesson
from napari_covseg.training.recipes import training_config
from napari_covseg.volume import LabelMap, Volume, cropped, reoriented

Image = TypeVar("Image", Volume, LabelMap)

SCHEME: Names = ("ggo", "consolidation", "effusion")
CASE_SLICES = 24
LESSON_SLICES, LESSON_SIDE = 16, 128


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is timed, and how much of it, how small, the CPU has to do again.

    Parameters
    ----------
    slices, repeats
        Segmented, so many times after one that does not count.
    steps
        Of a timed training, and of a timed fine-tuning.
    check_slices, check_steps, check_side, check_batch
        What both devices do: slices, steps, side of a crop, samples of a batch.
    shipped
        Whether the timed steps are as shipped; else they are as small as those of the check.
    """

    slices: int = 16
    repeats: int = 3
    steps: int = 12
    check_slices: int = 2
    check_steps: int = 3
    check_side: int = 128
    check_batch: int = 2
    shipped: bool = True

    def small(self, config: TrainingConfig, spec: NetworkSpec) -> TrainingConfig:
        """Return settings small enough for a CPU."""
        side = self.check_side // 2 if spec.patch else self.check_side
        return replace(config, batch=self.check_batch, crop=side)

    def timed(self, config: TrainingConfig, spec: NetworkSpec) -> TrainingConfig:
        """Return the settings to be timed."""
        return config if self.shipped else self.small(config, spec)


TINY = Sizes(slices=1, repeats=1, steps=1, check_slices=1, check_steps=1, check_side=64, check_batch=1, shipped=False)
"""For a dry run: it proves the script, and its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One network in one width, on one device, with a folder for its files; ``cases`` are trained on when timed."""

    spec: NetworkSpec
    width: Width
    device: torch.device
    device_name: str
    sizes: Sizes
    tiny: tuple[Case, ...]
    cases: tuple[Case, ...]
    folder: Path

    def training(self, steps: int) -> TrainingConfig:
        """Return the shipped recipe."""
        return training_config(self.spec, "shipped", steps=steps)

    def fine_tuning(self, steps: int) -> TrainingConfig:
        """Return the settings of a fine-tuning."""
        return short_run(self.spec, steps)


def tiny_cases(folder: Path) -> tuple[Case, ...]:
    """Write a case of the slices around the sample's largest lesion into a folder, and return it."""
    scan, lesion, lung = sample()
    write_volume(_slab(scan, CASE_SLICES), folder / "tiny_ct.nii.gz")
    write_labels(_slab(lesion, CASE_SLICES), folder / "tiny_lesion.nii.gz")
    write_labels(_slab(lung, CASE_SLICES), folder / "tiny_lung.nii.gz")
    return find_cases([folder])


def lesson(spec: NetworkSpec, slices: int) -> Lesson:
    """Return a few reviewed slices of the sample; for a network of patches they fit into one."""
    scan, lesion, _ = sample()
    scan, lesion = _slab(scan, LESSON_SLICES), _slab(lesion, LESSON_SLICES)
    if spec.patch:
        start, stop = _around(lesion, LESSON_SIDE)
        scan, lesion = cropped(scan, start, stop), cropped(lesion, start, stop)
    first = (LESSON_SLICES - slices) // 2
    return Lesson(scan, lesion, tuple(range(first, first + slices)), "0" * 64)


@cache
def sample() -> tuple[Volume, LabelMap, LabelMap]:
    """Return the bundled scan, its lesions and its lungs, in reading order."""
    scan, lesion, lung = read_volume(sample_scan()), read_labels(sample_lesion()), read_labels(sample_lung())
    return reoriented(scan), reoriented(lesion), reoriented(lung)


def middle_slices(count: int) -> range:
    """Return so many slices around the one with most lesion."""
    _, lesion, _ = sample()
    depth = lesion.values.shape[0]
    most = int((lesion.values > 0).sum(axis=(1, 2)).argmax())
    first = max(0, min(most - count // 2, depth - count))
    return range(first, min(depth, first + count))


def _slab(image: Image, count: int) -> Image:
    wanted = middle_slices(count)
    _, height, width = image.geometry.shape
    return cropped(image, (wanted.start, 0, 0), (wanted.stop, height, width))


def _around(lesion: LabelMap, side: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the box of all slices and of so many rows and columns around the lesion's middle."""
    depth, *plane = lesion.values.shape
    seen = np.argwhere((lesion.values > 0).any(axis=0))
    row, column = (
        int(np.clip(at - side // 2, 0, max(0, size - side))) for at, size in zip(seen.mean(axis=0), plane, strict=True)
    )
    return (0, row, column), (depth, min(plane[0], row + side), min(plane[1], column + side))
