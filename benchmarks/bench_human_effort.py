"""How much of a reader's work fine-tuning saves: a simulated reader on real scans of patients the parent never saw.

The reader corrects the k slices that our queue proposes to the reference, the parent is fine-tuned, and the rest of the
scan is segmented again. Two peers run in the same script: naive fine-tuning, which takes the whole scan for truth, and
a random queue. Parents are given (``--parent``), or the fold parents of `crossval`, trained and kept where they
are missing, within ``--minutes``; one whose card does not rule out that it saw the patient is refused. Whatever is
finished is kept in ``benchmarks/effort``, which is committed: the script may be stopped and started again, on another
machine too, and refused for another parent or other settings. It writes ``docs/fine_tuning.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from crossval import Plan, train_fold
from effort_figures import JUDGED, NEEDED, figures, mean_over, per_network
from effort_page import page
from simulated_reader import NAIVE, Reader, Study, settings_of

from napari_covseg.io.cases import Case, find_cases
from napari_covseg.io.files import written
from napari_covseg.networks import Checkpoint, checkpoint
from napari_covseg.networks.card import patients_told
from napari_covseg.training.finetune_request import STEPS
from napari_covseg.training.folds import FOLDS, held_out
from napari_covseg.training.keeping import Keeping

HERE = Path(__file__).parent
OUTCOMES = HERE / "effort"
PAGE = HERE.parent / "docs" / "fine_tuning.md"
COUNTS = (1, 2, 5, 10)
LESIONS = {"ggo", "consolidation"}


def main() -> int:
    """Study every scan whose parent is at hand, write the page, and print what was found."""
    words = _arguments()
    torch.set_num_threads(words.threads)
    for folder in (words.folder, words.outcomes):
        folder.mkdir(parents=True, exist_ok=True)
    load, deadline = os.getloadavg(), time.monotonic() + 60 * words.minutes
    cases = find_cases(words.cases)
    found: dict[str, dict[str, Any]] = {}
    for network in words.networks:
        for case in _new_patients(cases, words.patients):
            studied = _studied(network, case, cases, words, deadline)
            if studied is not None:
                found.setdefault(network, {})[case.name] = studied
    with written(words.page) as draft:
        draft.write_text(page(found), "utf-8")
    about = {"threads": words.threads, "steps": words.steps, "load_before": load, "load_after": os.getloadavg()}
    report = {**mean_over(found), "networks": per_network(found), "details": {**about, "cases": found}}
    print(json.dumps(report, indent=None if words.json else 1))
    return 0 if found else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, action="append", required=True, help="folders of cases, or packs")
    parser.add_argument(
        "--parent", type=Path, action="append", default=[], help="checkpoints; their cards name whom they saw"
    )
    parser.add_argument(
        "--parents", type=Path, default=Path(".cache/crossval"), help="where fold parents are, and are kept"
    )
    parser.add_argument("--networks", nargs="+", default=["masc_net"])
    parser.add_argument("--patients", nargs="+", help="only these patients, each of them new")
    parser.add_argument(
        "--counts", nargs="+", type=int, default=list(COUNTS), help="corrected slices; 5 is always among them"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of a fine-tuning")
    parser.add_argument("--fold-minutes", type=float, help="of a fold parent's training, as in crossval.py")
    parser.add_argument("--parent-steps", type=int, default=1000, help="of it, where no minutes are given")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so long, ready to go on")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path(".cache/human_effort"))
    parser.add_argument("--outcomes", type=Path, default=OUTCOMES)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _new_patients(cases: tuple[Case, ...], patients: list[str] | None) -> Iterator[Case]:
    for case in cases:
        is_scan = not case.is_picture and case.annotated >= LESIONS and case.slices is None
        if is_scan and (patients is None or case.patient in patients):
            yield case


def _studied(
    network: str, case: Case, cases: tuple[Case, ...], words: argparse.Namespace, deadline: float
) -> dict[str, Any] | None:
    """Return the figures of one scan, None where it is not finished in time; what is done is kept."""
    wanted = (*NEEDED, *(f"queue {k}" for k in words.counts if k != JUDGED))
    kept = words.outcomes / f"{network}_{case.name}.json"
    told: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {"arms": {}}
    goes_on = not all(name in told["arms"] for name in wanted) and time.monotonic() < deadline
    given = [one for one in map(checkpoint.read, words.parent) if one.card.network == network]
    parents = _without(case.patient, given or _of_fold(case, network, cases, words))
    if told["arms"]:
        begun_with = [one for one in parents if one.sha256 == told["parent"]["sha256"]]
        needs_none = not given and not goes_on
        if not _is_of(told, network, case, cases, words.steps) or not (begun_with or needs_none):
            raise SystemExit(f"{kept.name} was begun with another parent or other settings; name another --outcomes.")
        parents = begun_with
    if goes_on:
        if not parents and not given:
            parents = _without(case.patient, _trained(case, network, cases, words, deadline))
        if not parents:
            _say(f"{network}, {case.name}: no parent that never saw {case.patient} is at hand or could be made.")
        else:
            _study(_study_of(case, parents[0], cases, words), wanted, told, kept, words.device, deadline)
    if not all(name in told["arms"] for name in NEEDED):
        return None
    return _told(told)


def _is_of(told: dict[str, Any], network: str, case: Case, cases: tuple[Case, ...], steps: int) -> bool:
    """Whether figures are of this scan, of these settings and of a parent that never saw it."""
    trained_on = told["parent"]["trained_on"]
    settings = _stamp(network, case, *_asked_of(case, trained_on, cases), steps)
    is_of_these = (told["network"], told["case"], told["settings"]) == (network, case.name, settings)
    return is_of_these and _is_without(trained_on, case.patient)


def _asked_of(case: Case, trained_on: str, cases: tuple[Case, ...]) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Return the other patients' scans, and the cases that a parent saw, which are rehearsed."""
    scans = (one for one in cases if not one.is_picture and one.slices is None)
    others = tuple(one for one in scans if one.patient != case.patient)
    return others, tuple(one for one in cases if not _is_without(trained_on, one.patient))


def _study_of(case: Case, parent: Checkpoint, cases: tuple[Case, ...], words: argparse.Namespace) -> Study:
    return Study(case, parent, *_asked_of(case, parent.card.trained_on, cases), words.steps, 0, words.folder)


def _study(
    study: Study, wanted: tuple[str, ...], told: dict[str, Any], kept: Path, device: str, deadline: float
) -> None:
    """Do what is missing of one scan's study, and keep every part as soon as it is there."""
    parent, network = study.parent, study.parent.card.network
    told.update(
        network=network,
        case=study.case.name,
        parent={
            "name": parent.name,
            "sha256": parent.sha256,
            "steps": parent.card.config.get("steps"),
            "trained_on": parent.card.trained_on,
        },
        settings=_stamp(network, study.case, study.others, study.replay, study.steps),
    )
    reader: Reader | None = None
    for name in wanted:
        if name in told["arms"]:
            continue
        if time.monotonic() > deadline:
            break
        _say(f"{parent.name}, {study.case.name}: {name}")
        reader = reader or Reader(study, device)
        started = time.monotonic()
        told["arms"][name] = {**_arm(reader, name), "seconds": round(time.monotonic() - started, 1)}
        with written(kept) as draft:
            draft.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _of_fold(case: Case, network: str, cases: tuple[Case, ...], words: argparse.Namespace) -> list[Checkpoint]:
    """Return the parent of the fold that holds the case's patient out, if it is at hand."""
    fold = _fold_of(case, cases)
    path = None if fold is None else _plan(cases, words, 0).weights(network, fold)
    return [checkpoint.read(path)] if path is not None and path.exists() else []


def _trained(
    case: Case, network: str, cases: tuple[Case, ...], words: argparse.Namespace, deadline: float
) -> list[Checkpoint]:
    """Train the parent of the fold that holds the case's patient out, and return it if that came to an end in time."""
    fold, minutes = _fold_of(case, cases), (deadline - time.monotonic()) / 60
    if fold is not None and minutes > 0 and not _of_fold(case, network, cases, words):
        train_fold(_plan(cases, words, minutes), network, fold, minutes)
    return _of_fold(case, network, cases, words)


def _fold_of(case: Case, cases: tuple[Case, ...]) -> int | None:
    return next((k for k in range(1, FOLDS + 1) if case.patient in held_out(cases, k)), None)


def _plan(cases: tuple[Case, ...], words: argparse.Namespace, minutes: float) -> Plan:
    return Plan(cases, words.parents, words.parent_steps, minutes, words.device, words.threads, words.fold_minutes)


def _without(patient: str, parents: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return those whose cards rule out that they saw a patient."""
    return [one for one in parents if _is_without(one.card.trained_on, patient)]


def _is_without(trained_on: str, patient: str) -> bool:
    taught = patients_told(trained_on)
    return taught is not None and patient not in taught


def _stamp(network: str, case: Case, others: tuple[Case, ...], replay: tuple[Case, ...], steps: int) -> str:
    """Return a few digits that change with whatever the figures of a scan depend on, save the parent and the code."""
    about = {
        "case": case.name,
        "others": sorted(one.name for one in others),
        "replay": sorted(one.name for one in replay),
        "settings": settings_of(network, steps),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def _arm(reader: Reader, name: str) -> dict[str, Any]:
    common = reader.untouched(reader.queued(JUDGED), reader.drawn(JUDGED))
    if name == "before":
        return {**reader.figures(reader.labels, common), "others": reader.on_others(reader.study.parent)}
    kind, _, count = name.partition(" ")
    queue = reader.drawn(JUDGED) if kind == "random" else reader.queued(int(count or JUDGED))
    slices = reader.untouched(queue) if name not in (f"queue {JUDGED}", "naive", "random") else common
    started = time.monotonic()
    if kind == "naive":
        child = reader.taught(kind, queue, NAIVE, all_as_truth=True)
    else:
        child = reader.taught(name.replace(" ", "_"), queue, Keeping())
    seconds = round(time.monotonic() - started, 1)
    gate = {key: child.card.metrics["gate"][key] for key in ("promoted", "judged", "words")}
    after = reader.figures(reader.again(child, slices), slices)
    parents = {"parent_on_the_same": reader.figures(reader.labels, slices)}
    others = {} if kind == "random" else {"others": reader.on_others(child)}
    return {**after, **parents, **others, "queue": queue, "gate": gate, "finetune_seconds": seconds}


def _told(told: dict[str, Any]) -> dict[str, Any]:
    return {**figures(told["arms"]), "parent": told["parent"], "arms": told["arms"]}


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
