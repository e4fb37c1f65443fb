"""``docs/results.md``: what cross-validation measured, beside the papers' own figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from fold_outcome import Outcome

from napari_covseg.measure import SCORED
from napari_covseg.networks import registry
from napari_covseg.networks.registry import ALL_NETWORKS as ENSEMBLE
from napari_covseg.training.evaluation import Evaluation, differences
from napari_covseg.training.folds import FOLDS

PAPER_SCORES = ("dice", "sensitivity", "specificity", "precision")

TITLES = {ENSEMBLE: "all five together"}

PAPERS = """\
## The papers' own figures

Not one of them can be compared with ours row by row: other data, other splits, other tasks, other averages. They are
here so that nobody has to look them up.

| paper | its data | task | Dice | sensitivity | specificity | precision | what cannot be |
|---|---|---|---|---|---|---|---|
| MASC-Net | MedSeg set 2, 6 volumes against 3 | any lesion | 0.707 | 0.803 | 0.996 | 0.671 | F-score ≠ Dice elsewhere |
| MASC-Net | 10 Coronacases volumes | any lesion | 0.655 | 0.575 | 0.998 | 0.821 | F-score 0.657 |
| COVID-SegNet | 130 patients of its own | infection | 0.726 | 0.751 | – | 0.726 | |
| COVID-SegNet | the same | lung | 0.987 | 0.986 | – | 0.990 | |
| CHS-Net | MedSeg set 2 and Zenodo, split by slice | infection | 0.88 | 0.92 | 0.97 | 0.85 | Jaccard 0.96 > Dice |
| CHS-Net | the same | lung | 0.96 | 0.95 | 0.99 | 0.97 | Jaccard 0.98 > Dice |
| Elharrouss et al. | COVID-SemiSeg | infection | 0.786 | 0.711 | 0.993 | 0.856 | F-score 0.784 |
| Elharrouss et al. | the same | ground-glass, consolidation | 0.640 | 0.630 | 0.953 | 0.561 | |
| Residual Attention U-Net | 100 slices, folds by slice | three classes | 0.94 | – | – | 0.95 | accuracy 0.89 < Dice |

One confusion matrix has one F-score, which is its Dice, and a Jaccard index below it. Where a paper prints otherwise it
averaged over different things or erred. A split by slice puts neighbours of a test slice among the training slices.
"""


def page(folds: Mapping[str, Sequence[Outcome]], baseline: str, steps: int, minutes: float | None = None) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    folds
        The measured folds of a network, by key.
    baseline
        Key of what the others are compared with.
    steps
        Optimiser steps of every stage that are asked for now; of folds that were measured, their cards say it.
    minutes
        Of a fold's training, where each network learned as many steps as fit into them.
    """
    found = {key: joined(outcomes) for key, outcomes in folds.items()}
    missing = ", ".join(title(key) for key in (*registry.available(), ENSEMBLE) if key not in found)
    lines = [
        "# Results",
        "",
        f"Cross-validation over patients in {FOLDS} folds: {_budget(folds, steps, minutes)} (a lung stage half as",
        "many), the shipped recipe, seed 0, compact widths, the same for all and tuned for none. It is made by `python",
        "benchmarks/crossval.py`.",
        "The weights that ship learned longer; docs/models/ tells from whom, and what they are worth.",
        *([f"Not yet measured: {missing}."] if missing else []),
        "",
        "Dice over all voxels of all cases annotated for a class (pooled); then mean ± spread over the folds.",
        "Consolidation is judged on lesion_1 and lesion_2 alone: the other volumes have next to none.",
        "",
        *table(["network", *SCORED], ([title(key), *_cells(found[key], folds[key])] for key in found)),
        "",
        "## Cases",
        "",
        "Mean of the cases that contain a class (Dice; HD95 in mm), and millilitres marked on the others.",
        "",
        *table(["network", *SCORED], ([title(key), *_case_cells(one)] for key, one in found.items())),
        "",
        "## In the papers' terms",
        "",
        "Any lesion: over all voxels, and as the mean of the slices that bear one, which is how most papers average.",
        "Specificity is over the whole field of view, and the air in it makes it look good.",
        "",
        *table(
            ["network", *(f"{score}, {average}" for average in ("pooled", "slices") for score in PAPER_SCORES)],
            ([title(key), *_paper_cells(one)] for key, one in found.items()),
        ),
        "",
        "## What it costs",
        "",
        "Segmenting the held-out patients, reading and comparing aside; the memory is the peak of the whole process.",
        "",
        *table(
            ["network", "steps", "weights, MB", "seconds a slice", "peak memory, MB", "device"],
            ([title(key), *_costs(key, found[key], folds[key])] for key in found),
        ),
        "",
        *_compared(found, baseline, "Against the plain U-Net", f"network − {title(baseline)}"),
        *_ensemble(found, baseline),
        PAPERS,
    ]
    return "\n".join(lines)


def joined(outcomes: Sequence[Outcome]) -> Evaluation:
    """Return the evaluations of all folds as one."""
    parts = [outcome.judged for outcome in outcomes]
    cases = sorted((one for part in parts for one in part.cases), key=lambda one: one.case)
    return replace(parts[0], cases=tuple(cases), seconds=sum(part.seconds for part in parts))


def title(key: str) -> str:
    """Return what a reader calls a network, or all of them together."""
    return TITLES.get(key) or registry.listing(key).title


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)]


def _cells(one: Evaluation, outcomes: Sequence[Outcome]) -> list[str]:
    pooled, by_fold = one.pooled(), [outcome.judged.pooled() for outcome in outcomes]
    return [
        _with_spread(pooled[name]["dice"], [fold[name]["dice"] for fold in by_fold if name in fold])
        if name in pooled
        else "–"
        for name in SCORED
    ]


def _with_spread(dice: float | None, by_fold: Sequence[float | None]) -> str:
    if dice is None:
        return "–"
    folds = [value for value in by_fold if value is not None]
    spread = f" ({fmean(folds):.3f} ± {stdev(folds):.3f})" if len(folds) > 1 else ""
    return f"{dice:.3f}{spread}"


def _case_cells(one: Evaluation) -> list[str]:
    means, cells = one.case_mean(), []
    for name in SCORED:
        mean = means.get(name)
        if mean is None or mean["dice"] is None:
            cells.append("–")
            continue
        distance = f"{mean['hd95_mm']:.0f} mm" if mean.get("hd95_mm") is not None else "–"
        alarm = mean["false_positive_ml"]
        beside = f"; {alarm:.1f} mL" if alarm is not None else ""
        cells.append(f"{mean['dice']:.3f}; {distance}{beside}")
    return cells


def _paper_cells(one: Evaluation) -> list[str]:
    averages = (one.pooled(), one.slice_mean())
    scores = [average.get("lesion", {}).get(score) for average in averages for score in PAPER_SCORES]
    return ["–" if score is None else f"{score:.3f}" for score in scores]


def _budget(folds: Mapping[str, Sequence[Outcome]], asked: int, minutes: float | None) -> str:
    """Return what everyone was given, the steps by their own cards: kept folds may be older than what is asked."""
    if minutes is not None:
        return f"as many steps of each stage as fit into {minutes:g} minutes a fold"
    learned = {steps for outcomes in folds.values() for steps in _learned(outcomes)}
    return f"{' or '.join(str(steps) for steps in sorted(learned or {asked}))} steps a stage"


def _learned(outcomes: Sequence[Outcome]) -> set[int]:
    """Return how many steps the parents of some folds learned."""
    return {outcome.steps for outcome in outcomes if outcome.steps is not None}


def _costs(key: str, one: Evaluation, outcomes: Sequence[Outcome]) -> list[str]:
    seconds = one.seconds_per_slice
    told = "–" if seconds is None else f"{seconds:.2f}"
    steps = "–" if key == ENSEMBLE else " or ".join(str(steps) for steps in sorted(_learned(outcomes)))
    return [
        steps,
        f"{outcomes[0].file_mb:.1f}",
        told,
        f"{max(outcome.peak_mb for outcome in outcomes):.0f}",
        one.device,
    ]


def _ensemble(found: Mapping[str, Evaluation], baseline: str) -> list[str]:
    """Return whether all together beat the best of them, by pooled Dice of any lesion."""
    members = {
        key: one.pooled()["lesion"]["dice"] or 0.0 for key, one in found.items() if key not in (ENSEMBLE, baseline)
    }
    if ENSEMBLE not in found or not members:
        return []
    best = max(members, key=lambda key: members[key])
    two = {ENSEMBLE: found[ENSEMBLE], best: found[best]}
    return _compared(two, best, "All five together, against the best of them", f"all five − {title(best)}")


def _compared(found: Mapping[str, Evaluation], other: str, heading: str, difference: str) -> list[str]:
    if other not in found or len(found) < 2:
        return []
    rows = [[title(key), *_differences(one, found[other])] for key, one in found.items() if key != other]
    return [
        f"## {heading}",
        "",
        f"Difference in Dice on the same cases, {difference}, with its 95 % interval over patients (bootstrap).",
        "",
        *table(["network", *SCORED], rows),
        "",
    ]


def _differences(one: Evaluation, other: Evaluation) -> list[str]:
    gained, cells = differences(one, other), []
    for name in SCORED:
        d = gained.get(name)
        interval = f" ({d.low:+.3f} … {d.high:+.3f})" if d and d.low is not None else ""
        cells.append(f"{d.mean:+.3f}{interval}" if d else "–")
    return cells
