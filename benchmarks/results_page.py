"""``docs/results.md``: what cross-validation measured, beside the papers' own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from napari_covseg.measure import SCORED
from napari_covseg.networks import registry
from napari_covseg.training.evaluation import Evaluation, differences
from napari_covseg.training.folds import FOLDS

TITLES = {"all": "all five together"}

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


def page(folds: Mapping[str, Sequence[Evaluation]], baseline: str, steps: int) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    folds
        The evaluations of a network's folds, by key.
    baseline
        Key of what the others are compared with.
    steps
        Optimiser steps of every stage.
    """
    found = {key: joined(parts) for key, parts in folds.items()}
    missing = ", ".join(_title(key) for key in registry.available() if key not in found) or "none"
    return "\n".join(
        [
            "# Results",
            "",
            f"Cross-validation over patients in {FOLDS} folds, {steps} steps a stage, the shipped recipe, compact",
            "widths, the same for all; `python benchmarks/crossval.py` makes this page. Not yet measured: "
            + missing
            + ".",
            "",
            "Dice over all voxels of all cases annotated for a class (pooled); then mean ± spread over the folds.",
            "",
            _row(["network", *SCORED, "seconds"]),
            _row(["---"] * (len(SCORED) + 2)),
            *(
                _row([_title(key), *_cells(found[key], parts), f"{found[key].seconds:.0f}"])
                for key, parts in folds.items()
            ),
            "",
            "## Cases",
            "",
            "Mean of the cases that contain a class (Dice; HD95 in mm), and millilitres marked on the others.",
            "",
            _row(["network", *SCORED]),
            _row(["---"] * (len(SCORED) + 1)),
            *(_row([_title(key), *_case_cells(one)]) for key, one in found.items()),
            "",
            *_against(found, baseline),
            PAPERS,
        ]
    )


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluations of all folds as one."""
    cases = sorted((one for part in parts for one in part.cases), key=lambda one: one.case)
    return replace(parts[0], cases=tuple(cases), seconds=sum(part.seconds for part in parts))


def _title(key: str) -> str:
    return TITLES.get(key) or registry.listing(key).title


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(one: Evaluation, parts: Sequence[Evaluation]) -> list[str]:
    pooled, by_fold = one.pooled(), [part.pooled() for part in parts]
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


def _against(found: Mapping[str, Evaluation], baseline: str) -> list[str]:
    if baseline not in found or len(found) < 2:
        return []
    lines = [
        "## Against the plain U-Net",
        "",
        "Difference in Dice on the same cases, network − U-Net, with its 95 % interval over patients (bootstrap).",
        "",
        _row(["network", *SCORED]),
        _row(["---"] * (len(SCORED) + 1)),
    ]
    for key, one in found.items():
        if key != baseline:
            gained = differences(one, found[baseline])
            cells = []
            for name in SCORED:
                d = gained.get(name)
                interval = f" ({d.low:+.3f} … {d.high:+.3f})" if d and d.low is not None else ""
                cells.append(f"{d.mean:+.3f}{interval}" if d else "–")
            lines.append(_row([_title(key), *cells]))
    return [*lines, ""]
