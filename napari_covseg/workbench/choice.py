"""Which network the reader works with, and which checkpoint of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_covseg.io.remembered import remember, remembered
from napari_covseg.networks import Checkpoint, checkpoint, lineage
from napari_covseg.workbench.words import gone


class Choice:
    """The network and checkpoint that segment and learn; what was chosen is remembered from one day to the next.

    Parameters
    ----------
    folder
        Where the reader's own checkpoints live.
    """

    changed = Signal(object)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept, networks = remembered(folder), checkpoint.best_first(folder)
        self.network = kept.network if kept.network in networks and self.known(kept.network) else networks[0]
        self._chosen = {
            each.card.network: each
            for network in kept.checkpoints.keys() & set(networks)
            for each in self.known(network)
            if each.sha256 == kept.checkpoints[network]
        }

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The one chosen, else the network's first; None if it has none.

        A child that its gate held back is never the first: it is used when a reader says so. One whose file is gone
        stays chosen, since nothing takes its place unasked; `at_hand` refuses it.
        """
        return self._chosen.get(self.network) or lineage.first(self.network, self.folder)

    def at_hand(self) -> Checkpoint | None:
        """Return the one to begin something with; None if the network has none.

        Raises
        ------
        ValueError
            If its file is gone.
        """
        trained = self.checkpoint
        if trained is not None and not trained.path.exists():
            raise ValueError(f"{gone(trained)} Nothing was begun; copy it back, or choose another in the lineage.")
        return trained

    def take(self, network: str, trained: Checkpoint | None = None) -> None:
        """Work with this network from now on, and with this checkpoint of it where one is given; `changed` tells it.

        Where its file is gone the network's first takes its place.
        """
        self.network = network
        if trained is not None and trained.path.exists():
            self._chosen[network] = trained
        elif trained is not None:
            self._chosen.pop(network, None)
        chosen = {key: each.sha256 for key, each in self._chosen.items()}
        with suppress(OSError):  # nothing depends on it
            remember(self.folder, replace(remembered(self.folder), network=network, checkpoints=chosen))
        self.changed.emit(self.checkpoint)

    def promote(self, child: Checkpoint, reader: str, reason: str = "") -> None:
        """Work with a fine-tuned checkpoint from now on; against its gate only with a reason, which is kept.

        Raises
        ------
        ValueError
            If its file is gone, or the gate did not promote it and no reason is given.
        """
        if not child.path.exists():
            raise ValueError(gone(child))
        if not lineage.is_promoted(child, self.folder):
            lineage.overrule(child, reader, reason, folder=self.folder)
        self.take(child.card.network, child)

    def known(self, network: str) -> tuple[Checkpoint, ...]:
        """Return a network's checkpoints: those shipped, then the reader's own, newest first."""
        return checkpoint.known(network, self.folder)

    def family(self, network: str) -> tuple[lineage.Branch, ...]:
        """Return a network's checkpoints as a tree; `take` goes back to any of them."""
        return lineage.tree(network, self.folder)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why some files among the checkpoints cannot be used, a sentence each, so that none goes missing unsaid."""
        return checkpoint.left_out(self.folder)
