"""How many steps of a training fit into some minutes, so that a slow network and a fast one are given the same."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import by_network

from napari_covseg.inference.devices import chosen_device
from napari_covseg.io.cases import Case
from napari_covseg.jobs import drain
from napari_covseg.networks import NetworkSpec, load
from napari_covseg.training.loop import StepDone
from napari_covseg.training.recipes import training_config
from napari_covseg.training.train import TrainingRequest, stage_config, train

PROBE_STEPS = 16
"""Of the training that is timed; the first of a stage is slow, and the median does not mind."""


def steps_that_fit(network: str, cases: Sequence[Case], minutes: float, device: str, kept: Path) -> int:
    """Return how many steps of every stage some minutes hold; measured once and kept, so that all folds learn alike.

    On the CPU it is the time of this process that counts, whatever else the machine does meanwhile. Reading the cases
    and finding regions are not counted: all networks read the same.

    Parameters
    ----------
    network
        Registry key.
    cases
        What the timed training is shown.
    minutes
        Of one fold's training.
    device
        Where.
    kept
        JSON file of what was measured, by network.

    Raises
    ------
    SystemExit
        If the file is damaged, or was measured for other minutes: one table cannot hold both.
    """
    pace = by_network.kept(kept).get(network)
    if pace is None:
        seconds = _seconds_per_step(network, cases, device)
        pace = {"minutes": minutes, "seconds_per_step": seconds, "steps": int(60 * minutes / seconds)}
        by_network.keep(kept, network, pace)
    if pace["minutes"] != minutes:
        raise SystemExit(f"{kept.name} holds {pace['minutes']} minutes, not {minutes}; name another --outcomes.")
    return max(1, int(pace["steps"]))


def _seconds_per_step(network: str, cases: Sequence[Case], device: str) -> float:
    """Return what one step of every stage takes together, a lung stage's by its share."""
    spec = load(network)
    clock = time.process_time if chosen_device(device).type == "cpu" else time.perf_counter
    ends: list[list[float]] = []

    def heard(step: object) -> None:
        if isinstance(step, StepDone):
            if step.step == 1:
                ends.append([])
            ends[-1].append(clock())

    with tempfile.TemporaryDirectory() as folder:
        config = training_config(spec, "shipped", steps=PROBE_STEPS, patience=0)
        request = TrainingRequest(network, Path(folder) / "probe.safetensors", config, device=device)
        drain(train(request, list({case.annotated: case for case in cases}.values())), heard)  # one of each kind
    return sum(
        _share(spec, index) * median(later - earlier for earlier, later in pairwise(times))
        for index, times in enumerate(ends)
    )


def _share(spec: NetworkSpec, index: int) -> float:
    config = training_config(spec, "shipped", steps=1000)
    return stage_config(config, spec.stages[index]).steps / config.steps
