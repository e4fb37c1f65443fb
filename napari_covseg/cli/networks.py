"""``covseg networks``: the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from napari_covseg.cli.console import table
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.networks.lineage import Branch


@verb("covseg networks --json")
def networks() -> Answer:
    """List the networks there are, their sizes, and their trained checkpoints."""
    from napari_covseg.networks import available

    rows = [_described(key) for key in available()]
    shown = table("key", "network", "classes", ">parameters", ">compact", "checkpoints")
    for row in rows:
        counts = [f"{row['parameters'][width] / 1e6:.1f} M" for width in ("paper", "compact")]
        names = _lineage(row["key"]) or "none yet: covseg train"
        shown.add_row(row["key"], row["title"], ", ".join(row["classes"]), *counts, names)
    return Answer({"networks": rows}, shown)


def _told(branch: Branch, names: Mapping[str, str]) -> str:
    """Return a checkpoint's name, whom it learned from, and what gate and reader said where that is no plain yes."""
    parent = names.get(branch.checkpoint.card.parent_sha256)
    doubt = "overruled" if branch.is_overruled else "" if branch.promoted else "not promoted"
    notes = ", ".join(filter(None, (f"from {parent}" if parent else "", doubt)))
    return f"{branch.checkpoint.name} ({notes})" if notes else branch.checkpoint.name


def _lineage(key: str) -> str:
    """Return a network's checkpoints, each after its parent."""
    from napari_covseg.networks import lineage

    branches = lineage.tree(key)
    names = {branch.checkpoint.sha256: branch.checkpoint.name for branch in branches}
    return ", ".join(_told(branch, names) for branch in branches)


def _described(key: str) -> dict[str, Any]:
    from napari_covseg.networks import checkpoint, load
    from napari_covseg.networks.spec import Width

    spec = load(key)
    return {
        "key": spec.key,
        "title": spec.title,
        "paper": spec.paper,
        "grain": spec.grain,
        "classes": list(spec.scheme),
        "parameters": {width: _parameters(key, width) for width in get_args(Width)},
        "checkpoints": [
            {
                "name": found.name,
                "sha256": found.sha256,
                "width": found.card.width,
                "scheme": list(found.card.scheme),
                "trained_on": found.card.trained_on,
                "metrics": dict(found.card.metrics),
            }
            for found in checkpoint.known(key)
        ],
    }


def _parameters(key: str, width: Any) -> int:
    """Count the parameters of every stage, on torch's meta device, where nothing is allocated."""
    import torch

    from napari_covseg.networks import load
    from napari_covseg.networks.blocks import parameter_count

    spec = load(key)
    with torch.device("meta"):
        return parameter_count(spec.build(spec.scheme, width))
