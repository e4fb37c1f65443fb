"""Long work as jobs, for the threads beside the window; torch is imported here, when a network is first needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_covseg.export import emptiness, export_nifti
from napari_covseg.export.tables import write_log
from napari_covseg.io import Stated, read_volume
from napari_covseg.io.pseudonyms import key_to_learn_with, patient_of
from napari_covseg.jobs import Enough, Job, Progress, Remark
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.bringing_in import bringing_in_torch
from napari_covseg.review import Correction, Mark, Scene, Signature
from napari_covseg.review.before_signing import checked_before_signing
from napari_covseg.review.log_lines import Log
from napari_covseg.volume import LabelMap, Volume
from napari_covseg.workbench.open_scan import OpenScan, snapshot
from napari_covseg.workbench.requests import Copied, LearnRequest, SegmentRequest
from napari_covseg.workbench.source import Source, stamp_of, told_if_changed

if TYPE_CHECKING:
    from napari_covseg.export.gathering import Gathered
    from napari_covseg.inference import Segmentation
    from napari_covseg.measure import Finding
    from napari_covseg.review.worklist import Worklist

Tool = Callable[[Scene], Correction | Job[Correction | None] | None]
"""A tool of the review, all but its scene given; one that may take long is a job, which can be stopped midway."""


def reading(path: Path, stated: Stated) -> Job[tuple[Source, Volume]]:
    """Read a scan, and remember what its files looked like just before."""
    yield Progress(0, 1, f"reading {path.name}")
    stamp = stamp_of(path)
    volume = read_volume(path, stated)
    yield Progress(1, 1, f"reading {path.name}")
    return Source(path, stated, stamp, volume.sha256), volume


def listing(folder: Path, url: str, name: str) -> Job[Worklist]:
    """Put a folder of scans on a worklist, which has a name where others share it."""
    from napari_covseg.review.worklist import Worklist

    yield Progress(0, 1, f"looking into {folder.name}")
    worklist = Worklist(folder, url, name)
    worklist.look()
    yield Progress(1, 1, f"looking into {folder.name}")
    return worklist


def segmented(scan: Volume, request: SegmentRequest, slices: Sequence[int]) -> Job[Segmentation]:
    """Run a network on slices of a scan."""
    with bringing_in_torch():
        from napari_covseg.inference import segmenting

    return (yield from segmenting(request.trained, request.device, scan, slices))


def applying(tool: Tool, scene: Scene, title: str) -> Job[Correction | None]:
    """Apply a tool to labels that stand still."""
    yield Progress(0, 1, title)
    found = tool(scene)
    if isinstance(found, Generator):
        return (yield from found)
    yield Progress(1, 1, title)
    return found


def learning(
    parent: Checkpoint, opened: OpenScan, out: Path, request: LearnRequest, enough: Enough
) -> Callable[[], Job[Checkpoint]]:
    """Copy what is to be learned at once; the job that is returned learns it later, on the compute thread."""
    labels = snapshot(opened.session)
    now = Copied(datetime.now(UTC), opened.session.reviewed)

    def job() -> Job[Checkpoint]:
        with bringing_in_torch():
            from napari_covseg.io.cases import find_cases
            from napari_covseg.networks import load
            from napari_covseg.training.finetune import finetuned
            from napari_covseg.training.finetune_request import FineTuning, forget, short_run, steps_for
            from napari_covseg.training.lesson import Lesson

        patients = frozenset({patient_of(opened.scan, opened.session.scan_sha256, key_to_learn_with())})
        replay, spec = find_cases([request.replay]) if request.replay else None, load(parent.card.network)

        def asking(copied: Copied) -> FineTuning:
            utc, slices = copied.utc, copied.slices
            lesson = Lesson(opened.scan, labels, slices, opened.session.scan_sha256, patients=patients)
            config = short_run(spec, request.steps or steps_for(len(slices)))
            return FineTuning(parent, (lesson,), out, config, replay=replay, device=request.device, copied_utc=utc)

        asked = asking(request.copied or now)
        if out in request.stopped:  # what another build or a damaged disk left is dropped, and said so
            asked = replace(asked, resume=True) if asked.can_go_on and asked.files.hold_any_work else asking(now)
        steps = finetuned(asked, enough)
        yield next(steps)  # what cannot be is refused before what was stopped is let go of
        for stopped in set(request.stopped) - {out}:
            forget(stopped)
        return (yield from steps)

    return job


def exporting(
    labels: LabelMap, signature: Signature | None, opened: OpenScan, folder: Path, overwrite: bool
) -> Job[Path]:
    """Write a mask on the scan's own grid, and who signed it, as both stand when this is called.

    Whether the scan changed on disk since it was opened, or since the session began, and that nothing is marked, is
    told in a remark.
    """
    session = opened.session
    if opened.of_another_scan:
        yield Remark(opened.of_another_scan)
    else:
        yield from told_if_changed(opened.source)
    yield Progress(0, 1, "writing")
    path = export_nifti(labels, session.home_geometry, session.case, folder, overwrite=overwrite, signature=signature)
    yield Progress(1, 1, "written and read back")
    if empty := emptiness(labels, path):
        yield Remark(empty)
    return path


def writing_log(log: Log, path: Path) -> Job[Path]:
    """Write a log for spreadsheets."""
    yield Progress(0, 1, f"writing {path.name}")
    write_log(log, path)
    yield Progress(1, 1, "written")
    return path


def looking_over(labels: LabelMap, marks: Mapping[int, Mark], opened: OpenScan) -> Job[tuple[Finding, ...]]:
    """Look a session over before it is signed; whether the scan changed on disk meanwhile is told in a remark."""
    yield from told_if_changed(opened.source)
    return (yield from checked_before_signing(labels, opened.scan, marks))


def bundling(look: Callable[[], Sequence[Path]], folder: Path, near: Sequence[Path], overwrite: bool) -> Job[Gathered]:
    """Look for sessions, and gather their reviewed slices as cases to train on."""
    from napari_covseg.export.gathering import gathering

    yield Progress(0, 1, "looking for sessions")
    sessions = look()
    if not sessions:
        raise ValueError("No scan of the worklist has been opened here yet; open one and mark slices reviewed first.")
    return (yield from gathering(sessions, folder, near=near, overwrite=overwrite))
