"""Segment, train and fine-tune one network on a device: timed as shipped, and checked against the CPU.

The checks are made in fp32 proper on both devices, on the same weights, slices and batches; what bfloat16 and TF32 add
is checked apart, with a wider limit. A row is a dictionary that goes into the JSON as it is.
"""

from __future__ import annotations

from statistics import median

import torch
from gpu_cases import SCHEME, Bench, lesson, middle_slices, sample
from gpu_checks import CHILDREN, Check, Row, children_alike, compared, loss_checks
from gpu_meter import ForwardWatch, Memory, StepWatch, plain_fp32, settled, share_of_peak
from torch.utils.flop_counter import FlopCounterMode

from napari_covseg.inference import Segmenter
from napari_covseg.io.cases import Case
from napari_covseg.jobs import drain
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.checkpoint import known
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.finetune import finetuned
from napari_covseg.training.finetune_request import FineTuning
from napari_covseg.training.train import TrainingRequest, train
from napari_covseg.volume import Volume

CPU = torch.device("cpu")


def train_part(bench: Bench) -> tuple[Row, Checkpoint]:
    """Train a few steps as shipped; return the row, and the checkpoint it ended in."""
    spec, sizes = bench.spec, bench.sizes
    timed, counted, mixed, ours = (StepWatch(bench.device, count=count) for count in (False, True, False, False))
    theirs = StepWatch(CPU)
    kept = _trained(bench, sizes.timed(bench.training(sizes.steps), spec), timed, bench.cases)
    _trained(bench, sizes.timed(bench.training(1), spec), counted)
    small = sizes.small(bench.training(sizes.check_steps), spec)
    _trained(bench, small, mixed)
    with plain_fp32():
        _trained(bench, small, ours)
        _trained(bench, small, theirs)
    return _steps_row(bench, "train", timed, counted) | {"checks": loss_checks(ours, theirs, mixed)}, kept


def finetune_part(bench: Bench, parent: Checkpoint) -> Row:
    """Fine-tune a few steps as shipped on a few reviewed slices."""
    spec, sizes = bench.spec, bench.sizes
    timed, counted, mixed, ours = (StepWatch(bench.device, count=count) for count in (False, True, False, False))
    theirs = StepWatch(CPU)
    started = settled(bench.device)
    _taught(bench, parent, sizes.timed(bench.fine_tuning(sizes.steps), spec), timed)
    seconds = settled(bench.device) - started
    _taught(bench, parent, sizes.timed(bench.fine_tuning(1), spec), counted)
    small = sizes.small(bench.fine_tuning(sizes.check_steps), spec)
    _taught(bench, parent, small, mixed)
    with plain_fp32():
        children = (_taught(bench, parent, small, ours), _taught(bench, parent, small, theirs, "their-child"))
        alike = children_alike(bench, *children)
    checks = [*loss_checks(ours, theirs, mixed), Check("labels of the children", alike, CHILDREN, True).row()]
    return _steps_row(bench, "finetune", timed, counted) | {"seconds": seconds, "checks": checks}


def segment_part(bench: Bench, trained: Checkpoint) -> Row:
    """Segment some slices of the sample as shipped, with the shipped weights where this width has any."""
    shipped = [c for c in known(bench.spec.key, bench.folder) if c.is_shipped and c.card.width == bench.width]
    trained = next(iter(shipped), trained)
    scan, slices = sample()[0], middle_slices(bench.sizes.slices)
    segmenter = Segmenter(trained, bench.device.type)
    watch, memory = ForwardWatch(segmenter.module, bench.device), Memory(bench.device)
    job_s, pass_s = [], []
    for _ in range(bench.sizes.repeats + 1):
        watch.reset()
        started = settled(bench.device)
        drain(segmenter.segment(scan, slices))
        job_s.append(settled(bench.device) - started)
        pass_s.append(watch.seconds / watch.passes)
    peak_mib, seconds = memory.peak_mib(), median(pass_s[1:])
    flops = _flops_of_a_pass(segmenter, scan, watch)
    dtype = "tf32" if torch.backends.cudnn.allow_tf32 else "fp32"
    return {
        **_named(bench, "segment"),
        "weights": trained.name if trained.is_shipped else "after the short training",
        "seconds_per_slice": median(job_s[1:]) / len(slices),
        "sees": bench.spec.grain,
        "seconds_per_pass": seconds,
        "gflop_per_pass": flops / 1e9,
        "dtype": dtype,
        "share_of_peak": share_of_peak(flops, seconds, bench.device_name, dtype),
        "peak_mib": peak_mib,
        **compared(bench, trained),
    }


def _trained(
    bench: Bench, config: TrainingConfig, watch: StepWatch, cases: tuple[Case, ...] | None = None
) -> Checkpoint:
    """Train under a watch, on the tiny cases without others; a training with others keeps its file."""
    out = bench.folder / f"{bench.spec.key}-{bench.width}-{'parent' if cases else 'passing'}.safetensors"
    device = watch.device.type
    request = TrainingRequest(bench.spec.key, out, config, bench.width, SCHEME, device=device, overwrite=True)
    kept: Checkpoint = watch.run(train(request, cases or bench.tiny))
    return kept


def _taught(
    bench: Bench, parent: Checkpoint, config: TrainingConfig, watch: StepWatch, name: str = "child"
) -> Checkpoint:
    out = bench.folder / f"{bench.spec.key}-{bench.width}-{name}.safetensors"
    out.unlink(missing_ok=True)  # the same child again, with other settings
    lessons = (lesson(bench.spec, bench.sizes.check_slices),)
    child: Checkpoint = watch.run(finetuned(FineTuning(parent, lessons, out, config, device=watch.device.type)))
    return child


def _named(bench: Bench, part: str) -> Row:
    return {"network": bench.spec.key, "width": bench.width, "part": part}


def _steps_row(bench: Bench, part: str, timed: StepWatch, counted: StepWatch) -> Row:
    """Return what a step of every stage takes, one after the other."""
    flops, seconds = sum(stage.flops for stage in counted.stages), timed.seconds("device_s")
    return {
        **_named(bench, part),
        "stages": len(timed.stages),
        "seconds_per_step": seconds,
        "seconds_per_batch": timed.seconds("batch_s"),
        "gflop_per_step": flops / 1e9,
        "share_of_peak": share_of_peak(flops, seconds, bench.device_name, "bf16"),
        "peak_mib": timed.peak_mib,
    }


def _flops_of_a_pass(segmenter: Segmenter, scan: Volume, watch: ForwardWatch) -> float:
    watch.reset()
    counter = FlopCounterMode(display=False)
    with counter:
        drain(segmenter.segment(scan, middle_slices(1)))
    return counter.get_total_flops() / watch.passes
