"""What ``covseg evaluate`` prints: figures for programs, tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

from napari_covseg.cli.console import table
from napari_covseg.io.sentences import count

if TYPE_CHECKING:
    from napari_covseg.training.evaluation import Evaluation

COLUMNS = {
    "dice": ">Dice",
    "sensitivity": ">sensi-\ntivity",
    "precision": ">preci-\nsion",
    "hd95_mm": ">HD95\nmm",
    "false_positive_ml": ">false\nmL",
}
"""What a table has room for on 80 columns; ``--json`` has the rest."""

AVERAGES = {
    "pooled": ("voxels of", "case"),
    "case_mean": ("mean of", "case"),
    "slice_mean": ("mean of", "slice"),
}
DECIMALS = {"hd95_mm": 1, "false_positive_ml": 1}

CAPTION = (
    "Voxels: one count over all cases annotated for the class. Means: over the cases and slices whose reference "
    "contains it. False mL: marked, on average, on cases that do not. F-score is Dice; --json has the other scores."
)
PIXELS = " Pictures do not say their pixel size: 1 mm is assumed."


def figures(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return one result per network, and for two or more the paired differences between them, for ``--json``."""
    values: dict[str, Any] = {"results": [_result(evaluation) for evaluation in evaluations]}
    if len(evaluations) > 1:
        values["differences"] = list(_differences(evaluations))
    return values


def shown(evaluations: Sequence[Evaluation], *, per_case: bool, pixels_for_mm: bool) -> Any:
    """Return the tables: one per network, and for two or more the paired differences between them."""
    from rich.console import Group

    tables = [_averages(evaluation, CAPTION + PIXELS * pixels_for_mm) for evaluation in evaluations]
    if per_case:
        tables += [_cases(evaluation) for evaluation in evaluations]
    if len(evaluations) > 1:
        tables.append(_paired(list(_differences(evaluations))))
    return Group(*tables)


def _result(evaluation: Evaluation) -> dict[str, Any]:
    trained = evaluation.checkpoint
    return {
        "network": trained.card.network,
        "checkpoint": trained.name,
        "sha256": trained.sha256,
        "cases": [{"case": one.case, "patient": one.patient, **one.figures()} for one in evaluation.cases],
        "pooled": evaluation.pooled(),
        "case_mean": evaluation.case_mean(),
        "slice_mean": evaluation.slice_mean(),
        "device": evaluation.device,
        "seconds": evaluation.seconds,
    }


def _differences(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    from napari_covseg.training.evaluation import differences

    titles = _titles(evaluations)
    return [
        {"first": titles[i], "second": titles[j], "class": name, "score": "dice", **asdict(difference)}
        for i, j in combinations(range(len(evaluations)), 2)
        for name, difference in differences(evaluations[i], evaluations[j]).items()
    ]


def _titles(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return what to call each: its network, with the checkpoint where a network comes twice."""
    trained = [evaluation.checkpoint for evaluation in evaluations]
    times = Counter(one.card.network for one in trained)
    return [f"{n}:{one.name}" if times[n := one.card.network] > 1 else n for one in trained]


def _averages(evaluation: Evaluation, caption: str) -> Any:
    trained = evaluation.checkpoint
    rows = table("class", "over", *COLUMNS.values())
    counted_cases = count(len(evaluation.cases), "case")
    rows.title = f"{trained.card.network} ({trained.name}), {counted_cases}, {evaluation.seconds:.0f} s"
    rows.caption, rows.caption_justify = caption, "left"
    averages = {kind: getattr(evaluation, kind)() for kind in AVERAGES}
    for name in evaluation.names:
        for kind, (words, counted) in AVERAGES.items():
            scores = averages[kind][name]
            rows.add_row(name, f"{words} {count(scores[f'{counted}s'], counted)}", *_cells(scores))
    return rows


def _cases(evaluation: Evaluation) -> Any:
    rows = table("case", "patient", "class", *COLUMNS.values())
    rows.title = f"{evaluation.checkpoint.card.network} ({evaluation.checkpoint.name}), case by case"
    for one in evaluation.cases:
        for name, scores in one.figures().items():
            rows.add_row(one.case, one.patient, name, *_cells(scores))
    return rows


def _paired(found: Sequence[Mapping[str, Any]]) -> Any:
    rows = table("networks", "class", ">Dice", ">95% interval", ">cases")
    rows.title = "Difference in Dice on the same cases; intervals drawn by patient"
    for one in found:
        interval = "–" if one["low"] is None else f"{one['low']:+.3f} … {one['high']:+.3f}"
        names = f"{one['first']} - {one['second']}"
        rows.add_row(names, one["class"], f"{one['mean']:+.3f}", interval, str(one["cases"]))
    return rows


def _cells(scores: Mapping[str, Any]) -> list[str]:
    values = {name: scores.get(name) for name in COLUMNS}
    return ["–" if value is None else f"{value:.{DECIMALS.get(name, 3)}f}" for name, value in values.items()]
