"""The figures of a simulated reader's study, from what every arm of it came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

JUDGED = 5
"""Corrected slices, of which the keys tell."""

NEEDED = ("before", f"queue {JUDGED}", "naive", "random")
"""Arms without which a study has no figures."""

KEYS = (
    "dice_before",
    "dice_after_5",
    "dice_after_5_as_the_gate_has_it",
    "voxels_saved_fraction_5",
    "forgetting_max_drop",
    "naive_dice_after_5",
    "random_queue_dice_after_5",
)


def figures(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one study found: `KEYS`, and ``forgetting`` in detail."""
    before, after, forgot = arms["before"], arms[f"queue {JUDGED}"], forgetting(arms)
    kept = after if after["gate"]["promoted"] else before
    return {
        "dice_before": before["dice"]["lesion"],
        "dice_after_5": after["dice"]["lesion"],
        "dice_after_5_as_the_gate_has_it": kept["dice"]["lesion"],
        "voxels_saved_fraction_5": 1 - after["voxels_to_change"] / max(1, before["voxels_to_change"]),
        "forgetting_max_drop": forgot["all_children"],
        "naive_dice_after_5": arms["naive"]["dice"]["lesion"],
        "random_queue_dice_after_5": arms["random"]["dice"]["lesion"],
        "forgetting": forgot,
    }


def forgetting(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the largest fall in Dice of any class on other cases: of all children of our queue, and of those promoted.

    A reader gets the promoted ones; she can take up another only with a reason. Where none was promoted there is no
    figure of these, and what the reader gets is the parent.
    """
    old = arms["before"]["others"]
    children = {
        name: {
            "promoted": arm["gate"]["promoted"],
            "drops": {each: dice - arm["others"].get(each, 0.0) for each, dice in old.items()},
        }
        for name, arm in arms.items()
        if name.startswith("queue")
    }
    falls = {name: max(0.0, *child["drops"].values()) for name, child in children.items()}
    promoted = [falls[name] for name, child in children.items() if child["promoted"]]
    return {
        "all_children": max(falls.values()),
        "promoted_children": max(promoted, default=None),
        "promoted": f"{len(promoted)} of {len(children)}",
        "children": children,
    }


def gain(arm: Mapping[str, Any]) -> float:
    """Return by how much the Dice of any lesion rose on the slices that an arm's queue did not touch."""
    rise: float = arm["dice"]["lesion"] - arm["parent_on_the_same"]["dice"]["lesion"]
    return rise


def joined(scans: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means over scans; of forgetting, the worst."""
    found = list(scans)
    return {key: (max if key == "forgetting_max_drop" else fmean)(one[key] for one in found) for key in KEYS}


def per_network(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the means of each network's scans."""
    return {network: joined(scans.values()) for network, scans in found.items()}


def mean_over(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the means over the scans of all networks; None where nothing was found."""
    scans = [one for scans in found.values() for one in scans.values()]
    return dict(joined(scans)) if scans else dict.fromkeys(KEYS)
