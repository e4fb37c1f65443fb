"""What a network is, as data: the registry's entry that UI, command line, checkpoints and tests all read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from napari_covseg.preprocess import Step
from napari_covseg.volume import LESIONS

if TYPE_CHECKING:
    from torch import nn

Width = Literal["paper", "compact"]
Names = tuple[str, ...]

BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Stream:
    """One argument of a stage's ``forward``: how the scan is prepared for it.

    Parameters
    ----------
    steps
        Preprocessing from Hounsfield units to the network's grey values.
    masked_by
        Names of earlier stages; outside the mask of any of them the prepared grey is 0. This is how cascades are said.
    """

    steps: tuple[Step, ...]
    masked_by: Names = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One network of a cascade, or the only one.

    Parameters
    ----------
    name
        Key of its module in what `NetworkSpec.build` returns.
    streams
        One per argument of ``forward``; they all end on one grid.
    channels
        From the class scheme to the names of the output channels. With ``background`` among them they are
        a softmax, without it independent sigmoids.
    loss
        Name of the paper's loss, as `training.losses` knows it.
    target
        What it is taught: ``lesions`` (each class by name), ``infection`` (any lesion), ``lung`` (the lung mask; the
        thoracic region of interest, lung ∪ all lesions, where the scheme holds effusion).
    within
        Names of earlier stages; outside the mask of any of them nothing is labelled.
    """

    name: str
    streams: tuple[Stream, ...]
    channels: Callable[[Names], Names]
    loss: str
    target: Literal["lesions", "infection", "lung"] = "lesions"
    within: Names = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the paper trained: optimiser, rate, batch, initialisation, augmentation, epochs."""

    optimiser: str = "adam"
    learning_rate: float = 1e-3
    batch: int = 4
    epochs: int = 100
    init: str = "default"
    augmentation: Names = ()


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One paper.

    Parameters
    ----------
    key
        Name in code, files and on the command line.
    title, paper, summary
        What people call it, where it was published, and one plain sentence for the reader.
    build
        From class names and width to an ``nn.ModuleDict`` with one module per stage, each returning logits
        (N, C, H, W), or (N, C, D, H, W) where the grain is a patch.
    scheme
        The paper's own lesion classes, in order.
    grain
        Whether it sees one slice at a time or a 3-D patch.
    multiple_of
        Sizes are padded to a multiple of this inside ``forward``.
    stages
        In the order they run.
    recipe
        How the paper trained it.
    """

    key: str
    title: str
    paper: str
    summary: str
    build: Callable[[Names, Width], nn.ModuleDict]
    scheme: Names
    grain: Literal["slice", "patch"]
    multiple_of: int
    stages: tuple[Stage, ...]
    recipe: Recipe


def background_and(scheme: Names) -> Names:
    """Return the output channels of a softmax head: background first."""
    return (BACKGROUND, *scheme)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Probabilities by class name for one slice or patch.

    Parameters
    ----------
    names
        One per channel, as `Stage.channels` gives them.
    probabilities
        (C, …) float32.
    """

    names: Names
    probabilities: npt.NDArray[np.float32]

    def labels(self) -> npt.NDArray[np.uint8]:
        """Return the most probable class per voxel, (…) uint8, in the values of `LESIONS`, mapped by name.

        Without a background channel the classes are independent and win above one half.
        """
        if BACKGROUND in self.names:
            names, probabilities = self.names, self.probabilities
        else:
            names = (*self.names, BACKGROUND)
            probabilities = np.concatenate([self.probabilities, np.full_like(self.probabilities[:1], 0.5)])
        lesions = LESIONS.names
        values = np.array([LESIONS[n].value if n in lesions else 0 for n in names], dtype=np.uint8)
        winners: npt.NDArray[np.uint8] = values[probabilities.argmax(axis=0)]
        return winners
