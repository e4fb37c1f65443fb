"""``docs/fine_tuning.md``: what fine-tuning saved a simulated reader, scan by scan, with what was missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from effort_figures import JUDGED, KEYS, gain, joined, mean_over
from markdown_table import table
from results_page import title

RISE = 0.08
MOST_FORGOTTEN = 0.01

HEAD = """\
# What fine-tuning saves a reader

A simulated reader corrects the slices that the queue proposes to the reference. The parent, which never saw the
patient, is fine-tuned on them alone, and the rest of the scan is segmented again. Made by `python
benchmarks/bench_human_effort.py`, seed 0, compact networks. How long each parent learned is told with it; the weights
that ship learned longer.

- **before, after**: pooled Dice of any lesion on the slices that no queue touched; of the parent, and of the child of 5
  corrected slices.
- **as the gate has it**: the same for a reader who follows the gate: of the child where it was promoted, of the parent
  where it was not.
- **saved**: of the voxels the reader would have to change there, the share she no longer has to.
- **forgotten**: the largest fall in Dice of any class on scans of other patients, over all children of the queue,
  whether their gate promoted them or not.
- **naive**: the same 5 slices, and the parent's own proposal of all others taken for truth; nothing rehearsed.
- **random**: 5 slices drawn at random (one draw), learned as ours.
- **promoted**: how many of the queue's children the gate let through. Of the others a reader keeps the parent.
"""


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page as Markdown, from the figures of each network's scans."""
    heading = ("network", "scans", *_COLUMNS)
    lines = [HEAD, *table(heading, (_row(name, scans) for name, scans in found.items())), ""]
    lines += [_cost_of_the_gate(found), ""] if found else []
    for network, scans in found.items():
        lines += [f"## {title(network)}", ""]
        lines += table(("scan", "parent's steps", *_COLUMNS), (_scan(*one) for one in scans.items()))
        lines += ["", _goals(list(scans.values())), ""]
        counts = sorted({int(name[6:]) for scan in scans.values() for name in scan["arms"] if name.startswith("queue")})
        if len(counts) > 1:
            lines += ["Rise in Dice of any lesion with the number of corrected slices, on the others of the scan:", ""]
            rows = ((name, *(_gain(scan["arms"].get(f"queue {k}")) for k in counts)) for name, scan in scans.items())
            lines += [*table(("scan", *map(str, counts)), rows), ""]
    return "\n".join(lines)


_COLUMNS = ("before", f"after {JUDGED}", "as the gate has it", "saved", "forgotten", "naive", "random", "promoted")


def _row(network: str, scans: Mapping[str, Any]) -> tuple[str, ...]:
    means = joined(scans.values())
    return (title(network), str(len(scans)), *(f"{means[key]:.3f}" for key in KEYS), _promoted(scans.values()))


def _scan(name: str, scan: Mapping[str, Any]) -> tuple[str, ...]:
    told = (f"{scan[key]:.3f}" for key in KEYS)
    return (name, str(scan["parent"]["steps"]), *told, _promoted([scan]))


def _promoted(scans: Iterable[Mapping[str, Any]]) -> str:
    passed = [child["promoted"] for one in scans for child in one["forgetting"]["children"].values()]
    return f"{sum(passed)} of {len(passed)}"


def _cost_of_the_gate(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a reader has who follows the gate, the good children that it held back and the bad it let through."""
    scans = {f"{title(network)} {name}": one for network, scans in found.items() for name, one in scans.items()}
    children = {name: one["forgetting"]["children"][f"queue {JUDGED}"] for name, one in scans.items()}
    rises = {name: one[f"dice_after_{JUDGED}"] - one["dice_before"] for name, one in scans.items()}
    held = [name for name in sorted(rises, key=lambda name: -rises[name]) if not children[name]["promoted"]]
    forgot = {name: max(children[name]["drops"].values()) for name in scans}
    good = [f"{name} {rises[name]:+.3f}" for name in held if rises[name] >= RISE and forgot[name] <= MOST_FORGOTTEN]
    through = sorted(forgot.keys() - set(held), key=lambda name: -forgot[name])
    bad = [f"{name} {-forgot[name]:+.3f}" for name in through if forgot[name] > MOST_FORGOTTEN]
    before, after, kept = (mean_over(found)[key] for key in KEYS[:3])
    return (
        f"What the gate costs, mean of all {len(scans)} scans: before {before:.3f}, after {JUDGED} {after:.3f}, as the "
        f"gate has it {kept:.3f}. It held back {len(held)} of the {len(children)} children of {JUDGED} slices, "
        f"{len(good)} of them though they rose by {RISE} or more and forgot {MOST_FORGOTTEN} at most "
        f"({', '.join(good) or 'none'}). Of the {len(through)} that it let through some class of other patients' scans "
        f"fell by more than {MOST_FORGOTTEN} with {len(bad)} ({', '.join(bad) or 'none'}); on the cases "
        "that it asks about itself a single class may fall by three times its margin."
    )


def _goals(scans: list[Mapping[str, Any]]) -> str:
    """Return on how many scans each goal is met."""
    after, of = f"dice_after_{JUDGED}", len(scans)
    met = {
        f"Dice rises by {RISE}": [one[after] - one["dice_before"] >= RISE for one in scans],
        f"nothing falls by more than {MOST_FORGOTTEN}": [one["forgetting_max_drop"] <= MOST_FORGOTTEN for one in scans],
        "better than naive": [one[after] > one[f"naive_dice_after_{JUDGED}"] for one in scans],
        "better than random": [one[after] > one[f"random_queue_dice_after_{JUDGED}"] for one in scans],
    }
    return (
        "Goals, scans on which they are met: " + "; ".join(f"{goal} {sum(on)}/{of}" for goal, on in met.items()) + "."
    )


def _gain(arm: Mapping[str, Any] | None) -> str:
    return "–" if arm is None else f"{gain(arm):+.3f}"
