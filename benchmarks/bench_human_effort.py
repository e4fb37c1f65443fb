"""How much of a reader's work fine-tuning saves: a simulated reader on real scans of patients the parent never saw.

The reader corrects the k slices that our queue proposes to the reference, the parent is fine-tuned, and the rest of the
scan is segmented again. Two peers run in the same script: naive fine-tuning, which takes the whole scan for truth, and
a random queue. Parents are given (``--parent``), or the fold parents of `crossval`, trained and kept where they
are missing, within ``--minutes``; one whose card does not rule out that it saw the patient is refused. Whatever is
finished is kept in the working folder, so the script may be stopped and started again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from crossval import Plan, train_fold
from simulated_reader import NAIVE, Reader, Study, settings_of

from napari_covseg.io.cases import Case, find_cases
from napari_covseg.io.files import written
from napari_covseg.networks import Checkpoint, checkpoint
from napari_covseg.training.finetune_request import STEPS
from napari_covseg.training.folds import FOLDS, held_out
from napari_covseg.training.keeping import Keeping

COUNTS = (1, 2, 5, 10)
JUDGED = 5
LESIONS = {"ggo", "consolidation"}
KEYS = (
    "dice_before",
    "dice_after_5",
    "voxels_saved_fraction_5",
    "forgetting_max_drop",
    "naive_dice_after_5",
    "random_queue_dice_after_5",
)


def main() -> int:
    """Study every scan whose parent is at hand, and print what was found."""
    words = _arguments()
    torch.set_num_threads(words.threads)
    words.folder.mkdir(parents=True, exist_ok=True)
    started, load = time.monotonic(), os.getloadavg()
    deadline = started + 60 * words.minutes
    cases = find_cases(words.cases)
    found: dict[str, dict[str, Any]] = {}
    for network in words.networks:
        for case in _new_patients(cases, words.patients):
            parent = _parent_of(case, network, cases, words, deadline)
            if parent is None:
                _say(f"{network}, {case.name}: no parent that never saw {case.patient} is at hand or could be made.")
            elif (studied := _studied(case, parent, cases, words, deadline)) is not None:
                found.setdefault(network, {})[case.name] = studied
    about = {"threads": words.threads, "steps": words.steps, "load_before": load, "load_after": os.getloadavg()}
    report = {**_mean_over(found), "networks": _per_network(found), "details": {**about, "cases": found}}
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
    parser.add_argument("--parent-steps", type=int, default=1000, help="of a fold parent's training")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so long, ready to go on")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path(".cache/human_effort"))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _new_patients(cases: tuple[Case, ...], patients: list[str] | None) -> Iterator[Case]:
    for case in cases:
        is_scan = not case.is_picture and case.annotated >= LESIONS and case.slices is None
        if is_scan and (patients is None or case.patient in patients):
            yield case


def _parent_of(
    case: Case, network: str, cases: tuple[Case, ...], words: argparse.Namespace, deadline: float
) -> Checkpoint | None:
    """Return a parent that never saw the case's patient; trained now if there is time."""
    given = [one for one in map(checkpoint.read, words.parent) if one.card.network == network]
    for one in given:
        if _never_saw(one, case.patient):
            return one
    fold = next((k for k in range(1, FOLDS + 1) if case.patient in held_out(cases, k)), None)
    if given or fold is None:
        return None
    minutes = (deadline - time.monotonic()) / 60
    plan = Plan(cases, words.parents, words.parent_steps, minutes, words.device, words.threads)
    if minutes > 0:
        train_fold(plan, network, fold, minutes)
    path = plan.weights(network, fold)
    kept = checkpoint.read(path) if path.exists() else None
    return kept if kept is not None and _never_saw(kept, case.patient) else None


def _never_saw(parent: Checkpoint, patient: str) -> bool:
    _, _, taught = parent.card.trained_on.partition(": ")
    return bool(taught) and patient not in taught.split(", ")


def _studied(
    case: Case, parent: Checkpoint, cases: tuple[Case, ...], words: argparse.Namespace, deadline: float
) -> dict[str, Any] | None:
    """Return the figures of one scan, None where it is not finished in time; what is done is kept."""
    scans = (one for one in cases if not one.is_picture and one.slices is None)
    others = tuple(one for one in scans if one.patient != case.patient)
    replay = tuple(one for one in cases if not _never_saw(parent, one.patient))
    study = Study(case, parent, others, replay, words.steps, 0, words.folder)
    kept = words.folder / f"{parent.name}_{case.name}_{_stamp(study)}.json"
    done: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    reader: Reader | None = None
    for name in ("before", f"queue {JUDGED}", "naive", "random", *(f"queue {k}" for k in words.counts if k != JUDGED)):
        if name in done:
            continue
        if time.monotonic() > deadline:
            break
        _say(f"{parent.name}, {case.name}: {name}")
        reader = reader or Reader(study, words.device)
        started = time.monotonic()
        done[name] = {**_arm(reader, name), "seconds": round(time.monotonic() - started, 1)}
        with written(kept) as draft:
            draft.write_text(json.dumps(done), "utf-8")
    needed = ("before", f"queue {JUDGED}", "naive", "random")
    if not all(name in done for name in needed):
        return None
    return {**_figures(done), "forgetting": _forgetting(done), "parent": parent.name, "arms": done}


def _stamp(study: Study) -> str:
    """Return a few digits that change with whatever the figures of a scan depend on, save the code itself."""
    about = {
        "parent": study.parent.sha256,
        "case": study.case.name,
        "others": sorted(one.name for one in study.others),
        "replay": sorted(one.name for one in study.replay),
        "settings": settings_of(study),
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


def _figures(done: dict[str, Any]) -> dict[str, Any]:
    before, after = done["before"], done[f"queue {JUDGED}"]
    return {
        "dice_before": before["dice"]["lesion"],
        "dice_after_5": after["dice"]["lesion"],
        "voxels_saved_fraction_5": 1 - after["voxels_to_change"] / max(1, before["voxels_to_change"]),
        "forgetting_max_drop": _forgetting(done)["all_children"],
        "naive_dice_after_5": done["naive"]["dice"]["lesion"],
        "random_queue_dice_after_5": done["random"]["dice"]["lesion"],
    }


def _forgetting(done: dict[str, Any]) -> dict[str, Any]:
    """Return the largest fall in Dice of any class on other cases: of all children of our queue, and of those promoted.

    A reader gets the promoted ones; she can take up another only with a reason. Where none was promoted there is no
    figure of these, and what the reader gets is the parent.
    """
    old = done["before"]["others"]
    children = {
        name: {
            "promoted": arm["gate"]["promoted"],
            "drops": {each: dice - arm["others"].get(each, 0.0) for each, dice in old.items()},
        }
        for name, arm in done.items()
        if name.startswith("queue")
    }
    falls = {name: max(0.0, *child["drops"].values()) for name, child in children.items()}
    promoted = [falls[name] for name, child in children.items() if child["promoted"]]
    after = done[f"queue {JUDGED}"] if children[f"queue {JUDGED}"]["promoted"] else done["before"]
    return {
        "all_children": max(falls.values()),
        "promoted_children": max(promoted, default=None),
        "promoted": f"{len(promoted)} of {len(children)}",
        "dice_after_5_as_the_gate_has_it": after["dice"]["lesion"],
        "children": children,
    }


def _joined(scans: list[dict[str, Any]]) -> dict[str, float]:
    """Return the means over scans; of forgetting, the worst."""
    return {key: (max if key == "forgetting_max_drop" else fmean)(one[key] for one in scans) for key in KEYS}


def _per_network(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {network: _joined(list(scans.values())) for network, scans in found.items()}


def _mean_over(found: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    scans = [one for scans in found.values() for one in scans.values()]
    return dict(_joined(scans)) if scans else dict.fromkeys(KEYS)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
