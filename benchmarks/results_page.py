"""``docs/results.md``: what cross-validation measured, beside the papers' own figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from fold_outcome import Outcome
from markdown_table import table
from papers import papers_figures

from napari_covseg.measure import SCORED
from napari_covseg.networks import registry
from napari_covseg.networks.registry import ALL_NETWORKS as ENSEMBLE
from napari_covseg.training.evaluation import Evaluation, differences
from napari_covseg.training.folds import FOLDS

PAPER_SCORES = ("dice", "jaccard", "sensitivity", "specificity", "precision", "accuracy", "mae")

FEWEST_PATIENTS = 3
"""Of fewer an interval would be the patients themselves."""

COMMAND = "python benchmarks/crossval.py --cases volumes --cases slices --cases slices_infection"

BEST_LESION, EVERY_LESION, EFFUSION, LUNG = 0.75, 0.65, 0.75, 0.97
"""The goals: pooled Dice of the best network, of every network, and of the best that knows a class."""

TITLES = {ENSEMBLE: "all five together"}


def page(
    folds: Mapping[str, Sequence[Outcome]],
    baseline: str,
    peaks: Mapping[str, Any],
    steps: int,
    minutes: float | None = None,
) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    folds
        The measured folds of a network, by key.
    baseline
        Key of what the others are compared with.
    peaks
        What memory each network took, by key, as `crossval.py` keeps it.
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
        "many), the shipped recipe, seed 0, compact widths, the same for all and tuned for none. It is made by",
        "",
        f"    {COMMAND} {_asked(steps, minutes)}",
        "",
        *_cost_of_steps(folds, minutes),
        "The weights that ship learned longer; docs/models/ tells from whom, and what they are worth, on few patients.",
        f"The networks of the folds were trained by the code of {_commits(folds)};",
        "decision 7 tells what a lung stage learns from since.",
        *([f"Not yet measured: {missing}."] if missing else []),
        "",
        "Dice over all voxels of all cases annotated for a class (pooled); then mean ± spread over the folds.",
        "Consolidation is judged on lesion_1 and lesion_2 alone: the other volumes have next to none, and the lone",
        "slices, which have some, are left out with them.",
        "",
        *table(
            ["network", *SCORED, "steps"],
            ([title(key), *_cells(found[key], folds[key]), _steps(key, folds[key])] for key in found),
        ),
        "",
        *_goals(found, baseline),
        "## Any lesion, by patient",
        "",
        "Dice over all voxels of a patient's cases; `slices` are 50 lone slices of as many patients at most.",
        "",
        *_patients_table({key: lesion_by_patient(one) for key, one in found.items()}),
        "",
        "## Scans",
        "",
        "Mean of the scans that contain a class (Dice; HD95 in mm), and millilitres marked on the others.",
        "",
        *_by_case({key: _of_kind(one, lone=False) for key, one in found.items()}, _scan_cells),
        "",
        "## Lone slices",
        "",
        "Mean Dice of the slices that contain a class. Nobody knows how large their pixels are, so there are no",
        "lengths and no volumes. A 3-D network is shown each as a slab of that one slice, which is not how it learned",
        "from them.",
        "",
        *_by_case({key: _of_kind(one, lone=True) for key, one in found.items()}, _slice_cells),
        "",
        "## In the papers' terms",
        "",
        "Any lesion. Specificity, accuracy and the mean absolute error (mae, of the mask, not of a probability) are",
        "over the whole field of view, and the air in it makes them look good. The F-score is the Dice.",
        "",
        "Over all voxels:",
        "",
        *_paper_table({key: one.pooled() for key, one in found.items()}),
        "",
        "As the mean of the slices that bear a lesion, which is how most papers average:",
        "",
        *_paper_table({key: one.slice_mean() for key, one in found.items()}),
        "",
        "## What it costs",
        "",
        "Segmenting the held-out patients, reading and comparing aside, on machines that did other work besides; the",
        f"memory is the peak of a process that reads and segments {_scans_of(peaks)} and nothing else.",
        "",
        *table(
            ["network", "weights, MB", "seconds a slice", "peak memory, MB", "device"],
            ([title(key), *_costs(found[key], folds[key], peaks.get(key))] for key in found),
        ),
        "",
        *_compared(found, baseline, "Against the plain U-Net", f"network − {title(baseline)}"),
        *_ensemble(found, baseline),
        *papers_figures(),
    ]
    return "\n".join(lines)


def joined(outcomes: Sequence[Outcome]) -> Evaluation:
    """Return the evaluations of all folds as one."""
    parts = [outcome.judged for outcome in outcomes]
    cases = sorted((one for part in parts for one in part.cases), key=lambda one: one.case)
    return replace(parts[0], cases=tuple(cases), seconds=sum(part.seconds for part in parts))


def lesion_by_patient(one: Evaluation) -> dict[str, float | None]:
    """Return the Dice of any lesion over all voxels of each patient's cases; None where there is nothing to find."""
    patients = sorted({case.patient for case in one.cases if "lesion" in case.classes})
    dice = {}
    for patient in patients:
        theirs = replace(one, cases=tuple(case for case in one.cases if case.patient == patient))
        dice[patient] = theirs.pooled()["lesion"]["dice"]
    return dice


def title(key: str) -> str:
    """Return what a reader calls a network, or all of them together."""
    return TITLES.get(key) or registry.listing(key).title


def _patients_table(found: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    patients = sorted({patient for dice in found.values() for patient in dice})
    rows = []
    for key, by_patient in found.items():
        dice = [by_patient.get(patient) for patient in patients]
        rows.append([title(key), *("–" if each is None else f"{each:.2f}" for each in dice)])
    return table(["network", *patients], rows)


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


def _goals(found: Mapping[str, Evaluation], baseline: str) -> list[str]:
    """Return the goals, and by what they are met or missed; the ensemble and the baseline do not count."""
    own = {key: one for key, one in found.items() if key in registry.available()}
    if not own:
        return []

    def dice(name: str) -> dict[str, float]:
        pooled = {key: one.pooled().get(name, {}).get("dice") for key, one in own.items()}
        return {key: value for key, value in pooled.items() if value is not None}

    rows = []
    for name, least, goal in (
        ("lesion", BEST_LESION, f"lesion, the best network: {BEST_LESION}"),
        ("effusion", EFFUSION, f"effusion, the best network: {EFFUSION}"),
        ("lung", LUNG, f"lung, the best network: {LUNG}"),
    ):
        if by_network := dice(name):
            best = max(by_network, key=lambda key: by_network[key])
            rows.append((goal, _met(by_network[best] >= least), f"{by_network[best]:.3f} ({title(best)})"))
    lesion = dice("lesion")
    reached = sum(value >= EVERY_LESION for value in lesion.values())
    rows.append((f"lesion, every network: {EVERY_LESION}", _met(reached == len(lesion)), f"{reached} of {len(lesion)}"))
    if baseline in found:
        gained = [differences(one, found[baseline]).get("lesion") for one in own.values()]
        above = sum(each is not None and each.low is not None and each.low > 0 for each in gained)
        told = f"{above} of {len(own)} surely above it"
        rows.append((f"lesion, every network above the {title(baseline)}", _met(above == len(own)), told))
    return ["## Goals", "", *table(("goal", "", "reached"), rows), ""]


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _of_kind(one: Evaluation, *, lone: bool) -> Evaluation:
    """Return the evaluation of the lone slices alone, or of the scans."""
    kept = [case for case in one.cases if lone == all(len(each.per_slice) == 1 for each in case.classes.values())]
    return replace(one, cases=tuple(kept))


def _by_case(found: Mapping[str, Evaluation], cells: Callable[[Evaluation], list[str]]) -> list[str]:
    """Return a table of the cases that contain a class, with how many these are; they are the same for all networks."""
    counted = ["that contain it; patients", *_counts(found.values())]
    return table(
        ["network", *SCORED], [*([counted] if found else []), *([title(k), *cells(v)] for k, v in found.items())]
    )


def _counts(found: Iterable[Evaluation]) -> list[str]:
    cells = []
    for name in SCORED:
        bearing = {
            (case.case, case.patient)
            for one in found
            for case in one.cases
            if name in case.classes and case.classes[name].is_present
        }
        cells.append(f"{len(bearing)}; {len({patient for _, patient in bearing})}" if bearing else "–")
    return cells


def _slice_cells(one: Evaluation) -> list[str]:
    means = one.case_mean()
    dice = (means.get(name, {}).get("dice") for name in SCORED)
    return ["–" if each is None else f"{each:.3f}" for each in dice]


def _scan_cells(one: Evaluation) -> list[str]:
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


def _paper_table(averages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one average of every network in the scores that the papers print."""
    rows = []
    for key, average in averages.items():
        scores = [average.get("lesion", {}).get(name) for name in PAPER_SCORES]
        rows.append([title(key), *("–" if score is None else f"{score:.3f}" for score in scores)])
    return table(["network", *PAPER_SCORES], rows)


def _budget(folds: Mapping[str, Sequence[Outcome]], asked: int, minutes: float | None) -> str:
    """Return what everyone was given, the steps by their own cards: kept folds may be older than what is asked."""
    if minutes is not None:
        return f"as many steps of each stage as fit into {minutes:g} minutes a fold"
    learned = {steps for outcomes in folds.values() for steps in _learned(outcomes)}
    return f"{' or '.join(str(steps) for steps in sorted(learned or {asked}))} steps a stage"


def _asked(steps: int, minutes: float | None) -> str:
    return f"--steps {steps}" if minutes is None else f"--fold-minutes {minutes:g}"


def _cost_of_steps(folds: Mapping[str, Sequence[Outcome]], minutes: float | None) -> list[str]:
    """Return what the same minutes mean for networks of which a step costs more."""
    learned = {title(key): max(_learned(outcomes), default=0) for key, outcomes in folds.items() if key != ENSEMBLE}
    if minutes is None or not all(learned.values()):
        return []
    most, fewest = max(learned, key=lambda key: learned[key]), min(learned, key=lambda key: learned[key])
    return [
        f"{minutes:g} minutes of one core, of 45 that were allowed, by the pace of a few steps (on a busy machine they",
        f"took longer): the {most} took {learned[most]} steps and {fewest} {learned[fewest]}. So this tells",
        "what a short training is worth, and little of what a network can.",
        "",
    ]


def _commits(folds: Mapping[str, Sequence[Outcome]]) -> str:
    """Return the commits that trained the parents, with their days, the oldest first."""
    cards = [outcome.evaluation.checkpoint.card for key, found in folds.items() if key != ENSEMBLE for outcome in found]
    made = sorted({(card.created_utc[:10], card.commit[:7]) for card in cards if card.commit})
    return ", ".join(f"`{commit}` ({day})" for day, commit in made) or "no commit that they name"


def _steps(key: str, outcomes: Sequence[Outcome]) -> str:
    return "–" if key == ENSEMBLE else " or ".join(str(steps) for steps in sorted(_learned(outcomes)))


def _learned(outcomes: Sequence[Outcome]) -> set[int]:
    """Return how many steps the parents of some folds learned."""
    return {outcome.steps for outcome in outcomes if outcome.steps is not None}


def _scans_of(peaks: Mapping[str, Any]) -> str:
    """Return the names of the largest held-out scans; one, unless the cases were others for some networks."""
    return " or ".join(sorted({peak["case"] for peak in peaks.values()})) or "the largest of their scans"


def _costs(one: Evaluation, outcomes: Sequence[Outcome], peak: Mapping[str, Any] | None) -> list[str]:
    seconds = one.seconds_per_slice
    told = "–" if seconds is None else f"{seconds:.2f}"
    return [
        f"{outcomes[0].file_mb:.1f}",
        told,
        "–" if peak is None else f"{peak['peak_mb']:.0f}",
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
        f"Difference in Dice on the same cases, {difference}, with its 95 % interval over patients (bootstrap), and of",
        "how many cases and patients; the set `slices` counts as one patient. Of two there is no interval.",
        "",
        *table(["network", *SCORED], rows),
        "",
    ]


def _differences(one: Evaluation, other: Evaluation) -> list[str]:
    gained, cells = differences(one, other), []
    for name in SCORED:
        d = gained.get(name)
        is_sure = d is not None and d.low is not None and d.patients >= FEWEST_PATIENTS
        interval = f" ({d.low:+.3f} … {d.high:+.3f})" if d and is_sure else ""
        cells.append(f"{d.mean:+.3f}{interval}; {d.cases}, {d.patients}" if d else "–")
    return cells
