"""What a checkpoint is called: on screen, and in the log."""

from __future__ import annotations

from napari_covseg.networks import Checkpoint
from napari_covseg.volume import Provenance


def checkpoint_title(trained: Checkpoint) -> str:
    """Return what a reader calls a checkpoint: its network's title, and its name where it is the reader's own."""
    from napari_covseg.networks.registry import listing

    title = listing(trained.card.network).title
    return title if trained.is_shipped else f"{title} ({trained.name})"


def gone(trained: Checkpoint) -> str:
    """Return, in words, that a checkpoint's file is gone."""
    return f"{checkpoint_title(trained)} is gone from its folder."


def provenance_of(trained: Checkpoint) -> Provenance:
    """Return what the log tells of a checkpoint: its network, its name, its fingerprint."""
    return Provenance(trained.card.network, trained.card.network, trained.name, trained.sha256)
