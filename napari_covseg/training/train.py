"""Train a network on annotated cases and keep it as a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_covseg.inference import chosen_device
from napari_covseg.io.cases import Case
from napari_covseg.jobs import Job, Progress
from napari_covseg.measure import Overlap, overlap
from napari_covseg.networks import Card, Checkpoint, NetworkSpec, Prediction, checkpoint, load
from napari_covseg.networks.spec import Names, Width
from napari_covseg.training.batches import batch_source
from napari_covseg.training.loop import TrainingConfig, bfloat16_gains, trained
from napari_covseg.training.losses import OPACITIES, marginal_loss, refuse_unteachable
from napari_covseg.training.samples import Sample, read_samples
from napari_covseg.volume import LESIONS

TERMS = "Non-commercial research use only; not a medical device."


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train, on what, and where the result goes.

    Parameters
    ----------
    network, width, scheme
        Registry key, width and ordered lesion classes.
    out
        Checkpoint file; ``<out>.state`` beside it is what a later call resumes from.
    config
        Settings of the loop.
    held_out
        Patients kept away from training and measured at the end.
    device, minutes, resume
        Where, for how long at most, and whether to go on from the state file.
    """

    network: str
    out: Path
    config: TrainingConfig
    width: Width = "compact"
    scheme: Names = ("ggo", "consolidation", "effusion")
    held_out: frozenset[str] = frozenset()
    device: str = "auto"
    minutes: float | None = None
    resume: bool = False


def train(request: TrainingRequest, cases: Sequence[Case]) -> Job[Checkpoint | None]:
    """Train from scratch; yields what the loop yields, returns the checkpoint, or None when it ran out of time.

    Raises
    ------
    ValueError
        If nothing is left to train on, or a held-out patient is in no case.
    """
    missing = request.held_out - {case.patient for case in cases}
    if missing:
        raise ValueError(f"No case is of the held-out patient {', '.join(sorted(missing))}.")
    spec = load(request.network)
    refuse_unteachable(spec, request.scheme)
    samples = yield from read_samples(cases, spec)
    taught = [sample for sample in samples if sample.patient not in request.held_out]
    if not taught:
        raise ValueError("Every case is held out; nothing is left to train on.")
    state_file = request.out.with_name(request.out.name + ".state")
    if not request.resume:
        state_file.unlink(missing_ok=True)
    started = time.monotonic()
    torch.manual_seed(request.config.seed)
    module = spec.build(request.scheme, request.width)
    stage = spec.stages[-1]
    device = chosen_device(request.device)
    average = yield from trained(
        module[stage.name],
        batch_source(taught, request.config),
        partial(marginal_loss, channels=stage.channels(request.scheme)),
        request.config,
        device=device,
        state_file=state_file,
        minutes=request.minutes,
    )
    if average is None:
        return None
    module[stage.name] = average
    held_out = [sample for sample in samples if sample.patient in request.held_out]
    metrics = (
        (yield from dice_on(module, spec, request.scheme, held_out, device, "measuring on held-out patients"))
        if held_out
        else {}
    )
    seconds = round(time.monotonic() - started)
    config = {**asdict(request.config), "held_out": sorted(request.held_out), "seconds_last_call": seconds}
    kept = checkpoint.save(module.cpu(), _card(request, cases, config, metrics), request.out)
    state_file.unlink(missing_ok=True)
    return kept


def dice_on(
    module: nn.ModuleDict, spec: NetworkSpec, scheme: Names, samples: Sequence[Sample], device: torch.device, doing: str
) -> Job[dict[str, float]]:
    """Return the pooled Dice of every class on prepared slices, by name, each where it was annotated."""
    stage = spec.stages[-1]
    network = module[stage.name].to(device).eval()
    counts: dict[str, Overlap] = {}
    for done, sample in enumerate(samples):
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_gains(device)),
        ):
            streams = (torch.from_numpy(s)[None, None].float().to(device) / 255 for s in sample.streams)
            probabilities = network(*streams)[0].float().softmax(dim=0).cpu().numpy()
        labels = Prediction(stage.channels(scheme), probabilities).labels()
        for name, count in _counts(labels, sample.labels, sample.annotated).items():
            counts[name] = counts.get(name, Overlap()) + count
        yield Progress(done + 1, len(samples), doing)
    return {f"dice_{name}": round(c.dice, 4) for name, c in sorted(counts.items()) if c.dice is not None}


def _counts(
    labels: np.ndarray[Any, np.dtype[np.uint8]],
    reference: np.ndarray[Any, np.dtype[np.uint8]],
    annotated: Collection[str],
) -> dict[str, Overlap]:
    opacities = [LESIONS[name].value for name in (*OPACITIES, "infection")]
    counts = {}
    if set(OPACITIES) <= set(annotated) or "infection" in annotated:
        counts["lesion"] = overlap(np.isin(labels, opacities), np.isin(reference, opacities))
    for name in ("ggo", "consolidation", "effusion"):
        if name in annotated:
            value = LESIONS[name].value
            counts[name] = overlap(labels == value, reference == value)
    return counts


def _card(request: TrainingRequest, cases: Sequence[Case], config: dict[str, Any], metrics: dict[str, float]) -> Card:
    taught = sorted({case.patient for case in cases} - request.held_out)
    return Card(
        network=request.network,
        width=request.width,
        scheme=request.scheme,
        trained_on=f"{len(taught)} patients or sets: {', '.join(taught)}",
        terms=TERMS,
        config=config,
        metrics={"held_out_pooled": metrics, "held_out": sorted(request.held_out)} if metrics else {},
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("napari-covseg"),
    )
