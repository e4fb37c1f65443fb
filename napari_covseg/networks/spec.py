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
    """How the paper trained (all five used Adam): rate, batch, augmentation, early stopping.

    Parameters
    ----------
    learning_rate, batch
        Of Adam with its default betas.
    augmentation
        Kinds of it, as `training.augment` knows them.
    patience
        Checks out of twenty without a better one after which the paper stopped; 0 where it says nothing of it.
    unstated
        What of its training the paper does not state, so that it is ours: ``optimiser``, ``crop``, ``loss`` or a name
        above. How long it trained is the caller's with every paper.
    otherwise
        What the paper says of its training and is done otherwise here, a sentence each.
    """

    learning_rate: float = 1e-3
    batch: int = 4
    augmentation: Names = ()
    patience: int = 0
    unstated: Names = ()
    otherwise: Names = ()


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
    patch
        Voxels (D, H, W) of a patch the paper trains on and a scan is tiled with; None where the grain is a slice.
    in_full_precision
        Parts of a stage's module whose weights a checkpoint keeps in fp32, because rounding them moves decisions.
    encoder
        Parts of a stage's module that look rather than decide; a fine-tuning may leave them as they are.
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
    patch: tuple[int, int, int] | None = None
    in_full_precision: Names = ()
    encoder: Names = ()


def background_and(scheme: Names) -> Names:
    """Return the output channels of a softmax head: background first."""
    return (BACKGROUND, *scheme)


def sigmoid_or_softmax(scheme: Names) -> Names:
    """Return the output channels of a head that is one sigmoid for one class, a softmax for more (common.md §2)."""
    return scheme if len(scheme) == 1 else background_and(scheme)


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
        names, winners = self._winners()
        values = np.array([LESIONS[n].value if n in LESIONS.names else 0 for n in names], dtype=np.uint8)
        labels: npt.NDArray[np.uint8] = values[winners]
        return labels

    def mask(self, *names: str) -> npt.NDArray[np.bool_]:
        """Return where one of some classes is the most probable, (…); without names, any but background."""
        all_names, winners = self._winners()
        wanted = [name in names if names else name != BACKGROUND for name in all_names]
        mask: npt.NDArray[np.bool_] = np.array(wanted)[winners]
        return mask

    def within(self, mask: npt.NDArray[np.bool_]) -> Prediction:
        """Return the prediction with certain background outside a mask."""
        inside = self.probabilities * mask
        if BACKGROUND in self.names:
            inside[self.names.index(BACKGROUND)][~mask] = 1.0
        return Prediction(self.names, inside)

    def uncertain_voxels(self) -> float:
        """Return how many voxels are expected to be labelled wrongly: the sum of 1 - p of what was chosen.

        What is no lesion, lung and background, counts as one: where one ends and the other begins is not asked.
        Independent classes are each counted by themselves.
        """
        of_lesions = [name in LESIONS.names for name in self.names]
        lesions = self.probabilities[of_lesions]
        if BACKGROUND not in self.names:
            return float(np.minimum(lesions, 1 - lesions).sum(dtype=np.float64))
        others = self.probabilities[[not each for each in of_lesions]].sum(axis=0, dtype=np.float32)
        return float((1 - np.maximum(others, lesions.max(axis=0, initial=0))).clip(min=0).sum(dtype=np.float64))

    def _winners(self) -> tuple[Names, npt.NDArray[np.intp]]:
        if BACKGROUND in self.names:
            return self.names, self.probabilities.argmax(axis=0)
        half = np.full_like(self.probabilities[:1], 0.5)
        return (BACKGROUND, *self.names), np.concatenate([half, self.probabilities]).argmax(axis=0)
