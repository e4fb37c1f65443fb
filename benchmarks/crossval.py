"""Cross-validate all networks and the plain U-Net, patient by patient, and write ``docs/results.md``.

Every network is trained on two thirds of the patients and measured on the rest, three times, by the shipped recipe and
with the same steps for all, or with as many as fit into the same minutes (``--fold-minutes``). Whatever is finished is
kept: weights in the working folder, what they are worth in ``benchmarks/outcomes``, which is committed. So the script
may be stopped and started again, on another machine too; a fold that was measured is not trained again. What is missing
stays out of the table, and the page says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import by_network
import torch
from baseline import SPEC as BASELINE
from fold_outcome import Outcome, keep, kept, voxels_of
from pace import steps_that_fit
from peak import measured_peak
from results_page import joined, page

from napari_covseg.inference import Ensemble, Segmenter
from napari_covseg.io.cases import Case, find_cases
from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import Checkpoint, available, checkpoint, load, registry
from napari_covseg.training.evaluation import evaluated
from napari_covseg.training.folds import FOLDS, held_out
from napari_covseg.training.recipes import training_config
from napari_covseg.training.train import TrainingRequest, train

ENSEMBLE = "all"
HERE = Path(__file__).parent
OUTCOMES = HERE / "outcomes"
RESULTS = HERE.parent / "docs" / "results.md"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, on what, for how long, and where it is kept."""

    cases: tuple[Case, ...]
    folder: Path
    steps: int
    minutes: float
    device: str
    threads: int
    fold_minutes: float | None = None
    outcomes: Path = OUTCOMES

    def steps_of(self, network: str) -> int:
        """Return the steps of every stage that a network is given."""
        if self.fold_minutes is None:
            return self.steps
        return steps_that_fit(network, self.cases, self.fold_minutes, self.device, self.outcomes / "pace.json")

    def weights(self, network: str, fold: int) -> Path:
        """Return the checkpoint of one fold."""
        return self.folder / f"{network}_fold{fold}.safetensors"

    def outcome(self, network: str, fold: int) -> Path:
        """Return the measured fold."""
        return self.outcomes / f"{network}_fold{fold}.json"

    @property
    def peaks(self) -> Path:
        """Return what memory every network took."""
        return self.outcomes / "peaks.json"


def main() -> int:
    """Train and measure what is missing, write the page, and return the exit code."""
    words = _arguments()
    registry.invite(BASELINE)
    torch.set_num_threads(words.threads)
    words.folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        find_cases(words.cases),
        words.folder,
        words.steps,
        words.minutes,
        words.device,
        words.threads,
        words.fold_minutes,
        words.outcomes,
    )
    deadline = time.monotonic() + 60 * words.total_minutes
    for fold in range(1, FOLDS + 1):
        for network in words.networks:
            if not _is_measured(plan, network, fold) and time.monotonic() < deadline:
                train_fold(plan, network, fold, (deadline - time.monotonic()) / 60)
    for network in (*words.networks, ENSEMBLE):
        for fold in range(1, FOLDS + 1):
            measure_fold(plan, network, fold)
        measure_peak(plan, network)
    found = {key: parts for key in (*words.networks, ENSEMBLE) if (parts := _folds(plan, key))}
    words.page.write_text(
        page(found, BASELINE.key, by_network.kept(plan.peaks), words.steps, words.fold_minutes), "utf-8"
    )
    if words.json:
        whole = {key: joined(parts) for key, parts in found.items()}
        print(json.dumps({key: {"pooled": one.pooled(), "case_mean": one.case_mean()} for key, one in whole.items()}))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, action="append", required=True, help="folders of cases, or a pack")
    parser.add_argument("--networks", nargs="+", default=[BASELINE.key, *available()])
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps of every stage")
    parser.add_argument(
        "--fold-minutes", type=float, help="as many steps as fit into so long a fold, in place of --steps"
    )
    parser.add_argument("--minutes", type=float, default=45.0, help="at most so long per fold and call")
    parser.add_argument("--total-minutes", type=float, default=1e9, help="stop after so long, ready to go on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, default=Path(".cache/crossval"))
    parser.add_argument("--outcomes", type=Path, default=OUTCOMES)
    parser.add_argument("--page", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def train_fold(plan: Plan, network: str, fold: int, minutes_left: float) -> None:
    """Train the parent of one fold if it is missing, for some minutes at most, ready to go on."""
    out = plan.weights(network, fold)
    if out.exists():
        _refuse_others(checkpoint.read(out), plan, network, fold)
        return
    request = TrainingRequest(
        network=network,
        out=out,
        config=training_config(load(network), "shipped", steps=plan.steps_of(network)),
        minutes=min(plan.minutes, minutes_left),
        resume=True,
        device=plan.device,
    )
    outside = held_out(plan.cases, fold)
    taught = [case for case in plan.cases if case.patient not in outside]
    drain(train(request, taught), lambda step: _told(f"{network}, fold {fold}", step))


def _is_measured(plan: Plan, network: str, fold: int) -> bool:
    path = plan.outcome(network, fold)
    if not path.exists():
        return False
    try:
        evaluation = kept(path).evaluation
    except ValueError as error:
        raise SystemExit(f"{path.name} is damaged; remove it, and the fold is measured again.") from error
    if {one.case for one in evaluation.cases} != {case.name for case in _outside(plan, fold)}:
        raise SystemExit(f"{path.name} was measured on other cases; name another --outcomes.")
    if network != ENSEMBLE:
        _refuse_others(evaluation.checkpoint, plan, network, fold)
    return True


def _outside(plan: Plan, fold: int) -> list[Case]:
    patients = held_out(plan.cases, fold)
    return [case for case in plan.cases if case.patient in patients]


def _refuse_others(parent: Checkpoint, plan: Plan, network: str, fold: int) -> None:
    """Refuse a parent that learned otherwise than is asked: one table cannot hold both; or that saw who judges it."""
    learned, steps = parent.card.config["steps"], plan.steps_of(network)
    if learned != steps:
        name = parent.path.name
        raise SystemExit(f"{name} learned {learned} steps, not {steps}; keep the two in folders of their own.")
    if (taught := parent.card.patients) is None:
        raise SystemExit(
            f"{parent.path.name} does not name all who taught it; patients of its own fold may be among them."
        )
    if not held_out(plan.cases, fold).isdisjoint(taught):
        raise SystemExit(f"{parent.path.name} learned from patients of its own fold; the cases were others then.")


def measure_fold(plan: Plan, network: str, fold: int) -> None:
    """Measure the parent of one fold on the patients it never saw."""
    files, outcome = _files(plan, network, fold), plan.outcome(network, fold)
    if _is_measured(plan, network, fold) or not all(file.exists() for file in files):
        return
    for member, file in zip(_members(network), files, strict=True):
        _refuse_others(checkpoint.read(file), plan, member, fold)
    segmenters = [Segmenter(checkpoint.read(file), plan.device) for file in files]
    asked = Ensemble(segmenters) if len(segmenters) > 1 else segmenters[0]
    doing = f"measuring {network}, fold {fold}"
    evaluation = drain(evaluated(asked, _outside(plan, fold)), lambda step: _told(doing, step))
    keep(Outcome(evaluation, sum(file.stat().st_size for file in files) / 1e6), outcome)


def measure_peak(plan: Plan, network: str) -> None:
    """Measure what memory a network takes for the largest scan of all folds, by the parent that never saw it."""
    outcomes = _folds(plan, network)
    if not outcomes or network in by_network.kept(plan.peaks):
        return
    fold = max(range(1, FOLDS + 1), key=lambda one: voxels_of(outcomes[one - 1].largest))
    files = _files(plan, network, fold)
    if all(file.exists() for file in files):
        name = outcomes[fold - 1].largest.case
        case = next(one for one in _outside(plan, fold) if one.name == name)
        by_network.keep(plan.peaks, network, measured_peak(files, case, plan.device, plan.threads))


def _members(network: str) -> tuple[str, ...]:
    return available() if network == ENSEMBLE else (network,)


def _files(plan: Plan, network: str, fold: int) -> list[Path]:
    return [plan.weights(member, fold) for member in _members(network)]


def _folds(plan: Plan, network: str) -> list[Outcome]:
    """Return what was measured in all folds, none while one of them is missing."""
    outcomes = [plan.outcome(network, fold) for fold in range(1, FOLDS + 1)]
    if not all(outcome.exists() for outcome in outcomes):
        return []
    return [kept(outcome) for outcome in outcomes]


def _told(doing: str, step: object) -> None:
    if isinstance(step, Progress) and step.total and step.done % max(1, step.total // 10) == 0:
        print(f"{doing}: {step.done}/{step.total} {step.doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
