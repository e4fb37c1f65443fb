"""``covseg segment``: from scans to label maps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_covseg.cli.console import about, followed, say, table
from napari_covseg.cli.options import (
    CheckpointName,
    Device,
    NetworkOrAll,
    OnDevice,
    OutFolder,
    SeriesWanted,
    SpacingStated,
    Straighten,
    WindowStated,
    parsed_slices,
    parsed_stated,
)
from napari_covseg.cli.segment_tasks import PROBABILITY, Task, finished_among, give_up, note_of, task_for, tasks_at
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.inference import Ensemble, Segmenter
    from napari_covseg.volume import LabelMap

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", readable=False, help="Scan files, DICOM folders, folders of scan files."),
]
Slices = Annotated[
    str | None, typer.Option("--slices", metavar="A:B", help="Only slices A to B, counted from 1 at the apex.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do again what is already finished.")]


Lungs = Annotated[
    bool,
    typer.Option(
        "--lungs", help="Also write the lungs; where the network knows none, the best one that does draws them."
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option("--probabilities", help="Also write the probability of each class, in per cent, one map per class."),
]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every scan is segmented with, and what of it is written."""

    segmenter: Segmenter | Ensemble
    lungs_by: Segmenter | None
    slices: range | None
    probabilities: bool


@verb("covseg segment scan.nii.gz dicom_folder --network res_att_unet --slices 12:30 --out masks")
def segment(
    inputs: Inputs,
    network: NetworkOrAll,
    checkpoint: CheckpointName = None,
    device: OnDevice = Device.auto,
    slices: Slices = None,
    out: OutFolder = Path(),
    lungs: Lungs = False,
    probabilities: Probabilities = False,
    overwrite: Overwrite = False,
    series: SeriesWanted = None,
    spacing: SpacingStated = None,
    window: WindowStated = None,
    straighten: Straighten = False,
) -> Answer:
    """Write one label map per scan, on the scan's own grid: <scan>_<network>_lesion.nii.gz (.png for a picture).

    The label maps (_lesion, _lung) in a folder of scan files are left out; finished outputs are skipped.
    """
    from napari_covseg.inference import Segmenter, lung_network, members_of, woken

    wanted = parsed_slices(slices)
    trained = members_of(network, checkpoint)
    lungs_by = lung_network(trained) if lungs else None
    failed: list[dict[str, str]] = []
    stated = parsed_stated(series, spacing, window, straighten)
    tasks = tasks_at(inputs, partial(task_for, out, network, stated), failed)
    out.mkdir(parents=True, exist_ok=True)  # better now than after an hour's work
    finished = [] if overwrite else finished_among(tasks, wanted, failed)
    asked: _Asked | None = None
    if len(finished) < len(tasks):
        drawing = Segmenter(lungs_by, device) if lungs_by else None
        asked = _Asked(woken(trained, device), drawing, wanted, probabilities)
    outputs = []
    for task in tasks:
        try:
            is_new = asked is not None and task not in finished
            outputs.append(_segmented(task, asked) if is_new and asked else _skipped(task))
        except (ValueError, OSError) as error:
            give_up(task.scan, error, failed)
    values = {"outputs": outputs, **({"failed": failed} if failed else {})}
    return Answer(values, _shown(outputs), done=not failed)


def _segmented(task: Task, asked: _Asked) -> dict[str, Any]:
    from napari_covseg.io import read_volume
    from napari_covseg.measure.plausibility import doubts
    from napari_covseg.volume import LESIONS, LabelMap, labels_on, reoriented

    started_s, wanted = time.monotonic(), asked.slices
    scan = read_volume(task.scan, task.stated)
    for doubt in doubts(scan):
        say(about(task.scan, doubt))
    depth = reoriented(scan).geometry.shape[0]
    if wanted is not None and wanted.stop > depth:
        raise ValueError(f"{task.scan} has {depth} slices; --slices {wanted.start + 1}:{wanted.stop} goes past them.")
    seen = (reoriented(scan), wanted or range(depth))
    job = asked.segmenter.segment(*seen, probabilities=asked.probabilities)
    proposal = followed(job, f"Segmenting {task.scan.name}")
    lung = proposal.lung
    if asked.lungs_by is not None:
        lung = followed(asked.lungs_by.segment(*seen), f"Finding the lungs of {task.scan.name}").lung
    percents = {f"{PROBABILITY}{name}": percent for name, percent in proposal.probability_percent.items()}
    if proposal.disagreement_percent is not None:
        percents["disagreement"] = proposal.disagreement_percent
    for name, values in percents.items():
        percent = LabelMap(values, proposal.labels.geometry, LESIONS)
        _write_percent(labels_on(percent, scan.geometry), task.beside(name))
    if lung is not None:
        _write(labels_on(lung, scan.geometry), task.lung)
    labels = labels_on(proposal.labels, scan.geometry)
    _write(labels, task.lesion, note_of(wanted))
    return _output(task, labels, round(time.monotonic() - started_s, 2), proposal.device)


def _write(labels: LabelMap, path: Path, note: str = "") -> None:
    from napari_covseg.io import write_label_picture, write_labels

    if path.suffix == ".png":
        write_label_picture(labels, path)
    else:
        write_labels(labels, path, note)


def _write_percent(percent: LabelMap, path: Path) -> None:
    from napari_covseg.io import write_label_picture, write_volume
    from napari_covseg.volume import Volume

    if path.suffix == ".png":
        write_label_picture(percent, path)
    else:
        write_volume(Volume(percent.values.astype(np.int16), percent.geometry), path)


def _skipped(task: Task) -> dict[str, Any]:
    from napari_covseg.io import read_label_picture, read_labels

    labels = read_label_picture(task.lesion) if task.is_picture else read_labels(task.lesion)
    say(f"{task.lesion} is there already and is kept; --overwrite makes it again.")
    return {**_output(task, labels, 0.0, None), "skipped": True}


def _output(task: Task, labels: LabelMap, seconds: float, device: str | None) -> dict[str, Any]:
    from napari_covseg.measure import millilitres

    ml = {name: round(volume, 3) for name, volume in millilitres(labels).items()}
    lung = str(task.lung) if task.lung.exists() else None
    paths: dict[str, Any] = {"input": str(task.scan), "lesion": str(task.lesion), "lung": lung}
    if found := task.probabilities():
        paths["probabilities"] = {name: str(path) for name, path in found.items()}
    return {**paths, "ml": ml, "seconds": seconds, "device": device}


def _shown(outputs: Sequence[dict[str, Any]]) -> Any:
    if not outputs:
        return ""
    shown = table("label map", *(f">{name} mL" for name in outputs[0]["ml"]), ">seconds")
    for output in outputs:
        seconds = "skipped" if "skipped" in output else f"{output['seconds']:.1f}"
        shown.add_row(output["lesion"], *(f"{ml:.1f}" for ml in output["ml"].values()), seconds)
    return shown
