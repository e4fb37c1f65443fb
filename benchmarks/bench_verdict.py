"""Time from a reader's corrections to a judged child: fine-tune what ships on some slices of 512 × 512, and print JSON.

The slices are those of a real scan, cut or filled up with air to 512 × 512; where more are asked for than it has, they
come again, back and forth, with other noise. Figures are for a quiet machine; `details` tells how busy it was.
`record_s` is what the record in the parent's card costs of that, of what taught it and those before it: the scan is
compared with every scan there, when its slices are dealt, its patient is looked for, and the child's record is made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from process_memory import status_kib

from napari_covseg.io.cases import Case, find_cases
from napari_covseg.jobs import Remark, drain
from napari_covseg.networks import Card, Checkpoint, available, checkpoint, load
from napari_covseg.networks.learned import Learned, Places, Record, learned_by, merged
from napari_covseg.training.evenly import evenly
from napari_covseg.training.finetune import finetuned
from napari_covseg.training.finetune_request import FineTuning, short_run, steps_for
from napari_covseg.training.lesson import Lesson, lesson_of_case
from napari_covseg.training.neighbourhoods import patients_of, split
from napari_covseg.volume import Geometry, Volume

SIDE = 512
AIR_HU = -1000
NOISE_HU = 8


def main() -> int:
    """Time every network asked for, and print what was found."""
    words = _arguments()
    torch.set_num_threads(words.threads)
    load_before = os.getloadavg()
    case = next(case for case in find_cases(words.cases) if case.name == words.scan)
    lesson = lesson_of_slices(case, words.slices)
    record = {network: record_costs(_parent(network).card, lesson) for network in words.networks}
    runs = {network: [_timed(network, lesson, words) for _ in range(words.repeats)] for network in words.networks}
    report = {
        "verdict_s": {network: round(median(one["seconds"] for one in found), 1) for network, found in runs.items()},
        "record_s": {network: found["seconds"] for network, found in record.items()},
        "details": {
            "slices": words.slices,
            "of": lesson.scan.geometry.shape[0],
            "device": words.device,
            "threads": words.threads,
            "load_before": load_before,
            "load_after": os.getloadavg(),
            "record": record,
            "runs": runs,
        },
    }
    print(json.dumps(report, indent=None if words.json else 1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, action="append", required=True, help="folders of cases, or packs")
    parser.add_argument("--scan", default="lesion_1", help="the case whose slices are corrected")
    parser.add_argument("--networks", nargs="+", default=list(available()))
    parser.add_argument("--slices", type=int, default=10, help="how many were corrected")
    parser.add_argument("--steps", type=int, help="of a fine-tuning, other than the product's own number")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def lesson_of_slices(case: Case, count: int) -> Lesson:
    """Return a scan of 512 × 512 with so many corrected slices, spread over it; as deep as the case's, or deeper."""
    whole = lesson_of_case(case)
    geometry = whole.scan.geometry
    depth = max(geometry.shape[0], count)
    there_and_back = [*range(geometry.shape[0]), *reversed(range(geometry.shape[0]))]
    order = [there_and_back[index % len(there_and_back)] for index in range(depth)]
    hu = _square(whole.scan.hu, AIR_HU)[order]
    hu = hu + np.random.default_rng(0).integers(-NOISE_HU, NOISE_HU + 1, hu.shape, dtype=hu.dtype)
    grid = Geometry(hu.shape, geometry.affine)
    scan = Volume(hu, grid, name=case.name)
    labels = whole.labels.with_voxels(_square(whole.labels.values, 0)[order], grid)
    reviewed = tuple(evenly(range(depth), count))
    return replace(whole, scan=scan, labels=labels, reviewed=reviewed, scan_sha256=scan.sha256)


def record_costs(card: Card, lesson: Lesson) -> dict[str, Any]:
    """Return how long a lesson takes with the record of a card, how long of that without, and what it holds.

    ``fingerprints_s`` is told apart: the slices of the scan are hashed once, for the child's own record too.
    """
    lesson = replace(lesson, scan=replace(lesson.scan))  # which forgets its fingerprints
    hashed = _seconds(lambda: (lesson.scan.slices_sha256, lesson.scan.voxels_sha256), 1)
    _dealt(lesson, learned_by(card))  # once for what is kept from then on
    with_it, without = (_seconds(lambda known=known: _dealt(lesson, known), 5) for known in (learned_by(card), {}))
    scans = learned_by(card).values()
    return {
        "seconds": round(with_it - without, 3),
        "of_s": round(with_it, 3),
        "fingerprints_s": round(hashed, 3),
        "scans": len(scans),
        "slices": sum(len(seen.slices_sha256) for seen in scans),
        "bytes": len(card.model_dump_json(include={"learned"}, exclude_defaults=True)),
    }


def _dealt(lesson: Lesson, learned: Record) -> None:
    """Do with a record what a fine-tuning does: deal, know the patient twice, keep what the child has seen."""
    (part,) = split((lesson,), learned)
    patients_of((lesson,), learned)
    (patients,) = patients_of((lesson,), learned)
    seen = Learned.of(part.taught, part.held_out, lesson.scan.slices_sha256)
    merged(learned, {lesson.scan.voxels_sha256: seen.in_patient(patients, Places.of(lesson.scan.geometry))})


def _seconds(work: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return median(found)


def _parent(network: str) -> Checkpoint:
    return checkpoint.read(checkpoint.SHIPPED / f"{network}_compact.safetensors")


def _square(voxels: np.ndarray, filling: int) -> np.ndarray:
    rows, columns = (min(SIDE, size) for size in voxels.shape[1:])
    square = np.full((len(voxels), SIDE, SIDE), filling, voxels.dtype)
    square[:, :rows, :columns] = voxels[:, :rows, :columns]
    return square


def _timed(network: str, lesson: Lesson, words: argparse.Namespace) -> dict[str, Any]:
    steps = words.steps or steps_for(len(lesson.reviewed))
    parent = _parent(network)
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "child.safetensors"
        request = FineTuning(parent, (lesson,), out, short_run(load(network), steps), device=words.device)
        started = time.monotonic()
        child = drain(finetuned(request), lambda step: told.append(step.words) if isinstance(step, Remark) else None)
        seconds = round(time.monotonic() - started, 1)
    print(f"{network}: {seconds} s", file=sys.stderr, flush=True)
    peak_mb = round(status_kib("VmHWM") / 1024)
    gate = child.card.metrics["gate"]["words"]
    return {"seconds": seconds, "steps": steps, "peak_mb_so_far": peak_mb, "gate": gate, "remarks": told}


if __name__ == "__main__":
    sys.exit(main())
