"""The main job without a window: open, segment, correct, review, fine-tune, export; one `Workbench`, as in napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.cli.console import following
from napari_covseg.io import read_labels, sample_lung, sample_scan
from napari_covseg.jobs import Run
from napari_covseg.measure import quantities
from napari_covseg.networks import Checkpoint
from napari_covseg.volume import LUNGS, LabelMap, labels_on
from napari_covseg.workbench import OpenScan, SegmentRequest, Workbench, snapshot

if TYPE_CHECKING:
    from napari_covseg.review import ReviewSession

Result = TypeVar("Result")
Mask = npt.NDArray[np.bool_]

STEPS = 10
BRUSH_RADIUS_MM = 6.0


def carry_out(trained: Checkpoint, folder: Path) -> dict[str, list[Path]]:
    """Do the main job on the bundled sample and return what it wrote, by kind.

    Parameters
    ----------
    trained
        The checkpoint to start with.
    folder
        Mask, table and pictures go here; the session and its checkpoints into ``session`` within.

    Raises
    ------
    ValueError, OSError
        Whatever stopped it.
    """
    bench = Workbench(folder=folder / "session")
    complaints: list[str] = []
    bench.complained.connect(complaints.append)
    try:
        _done(bench, bench.open(sample_scan()))
        opened = bench.current
        if opened is None:
            raise ValueError(complaints[0])
        _done(bench, bench.segment(SegmentRequest(trained)))
        lung = labels_on(read_labels(sample_lung(), LUNGS), opened.scan.geometry)
        reviewed = _reviewed(opened.session, lung)
        child = _done(bench, bench.learning.finetune(trained, steps=STEPS))
        mask = _done(bench, bench.exports.mask(folder, overwrite=True))
        return {"mask": [mask], **_told(opened, lung, reviewed, folder), "checkpoint": [child.path]}
    finally:
        bench.close()


def _done(bench: Workbench, run: Run[Result]) -> Result:
    """Wait for a run, telling how it goes, and return its result or raise what stopped it."""
    results: list[Result] = []
    errors: list[Exception] = []
    run.finished.connect(results.append)
    run.failed.connect(errors.append)
    with following(run.title) as tell:
        run.stepped.connect(tell)
        bench.runner.wait(run)
    if errors:
        raise errors[0]
    return results[0]


def _reviewed(session: ReviewSession, lung: LabelMap) -> tuple[int, ...]:
    """Correct the slice with most lesion in the lung by hand, and mark it and the one below it reviewed."""
    in_lung = ((session.labels.values > 0) & (lung.values > 0)).sum(axis=(1, 2))
    index = min(int(in_lung.argmax()), session.geometry.shape[0] - 2)
    painted = session.labels.values.copy()
    stroke = _brush_stroke((lung.values[index] > 0) & (painted[index] == 0), session.geometry.spacing_mm[1:])
    painted[index][stroke] = session.labels.scheme["ggo"].value
    session.absorb(painted, "brush", "Brush")
    for reviewed in (index, index + 1):
        session.mark_reviewed(reviewed)
    return index, index + 1


def _brush_stroke(where: Mask, spacing_mm: tuple[float, ...]) -> Mask:
    """Return a round dab in the midst of a region (H, W), its farthest point from any edge."""
    depth_mm = ndimage.distance_transform_edt(where, sampling=spacing_mm)
    centre = np.unravel_index(int(depth_mm.argmax()), where.shape)
    row_mm, column_mm = (
        (axis - at) * mm for axis, at, mm in zip(np.indices(where.shape), centre, spacing_mm, strict=True)
    )
    dab: Mask = np.hypot(row_mm, column_mm) <= BRUSH_RADIUS_MM
    return dab


def _told(opened: OpenScan, lung: LabelMap, slices: tuple[int, ...], folder: Path) -> dict[str, list[Path]]:
    """Write the table of millilitres and pictures of the reviewed slices."""
    from napari_covseg.export.pictures import write_pictures  # scikit-image is slow to import
    from napari_covseg.export.tables import write_quantities

    labels = snapshot(opened.session)
    found = quantities(labels, opened.scan, lung)
    return {
        "millilitres": [write_quantities(found, folder / "millilitres.csv")],
        "pictures": list(write_pictures(opened.scan, labels, slices, folder)),
    }
