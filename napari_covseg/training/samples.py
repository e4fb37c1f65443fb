"""Annotated slices as a network sees them, small enough to keep in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_covseg.io.cases import Case, read_case
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import NetworkSpec
from napari_covseg.preprocess import prepared
from napari_covseg.volume import LabelMap, Volume, cropped, labels_on


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One slice, prepared.

    Parameters
    ----------
    streams
        (S, H, W) uint8: grey 0 … 255 of each argument of ``forward``.
    labels
        (H, W) uint8, values of `LESIONS`.
    annotated
        Classes somebody looked for.
    case, patient
        Where it is from.
    slice_index
        Which slice of the case, 0 at the apex.
    """

    streams: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    annotated: frozenset[str]
    case: str
    patient: str
    slice_index: int


def sample_of(
    scan: Volume,
    labels: LabelMap,
    index: int,
    spec: NetworkSpec,
    *,
    annotated: frozenset[str],
    case: str,
    patient: str,
) -> Sample:
    """Return one slice of a scan in reading order, prepared as the network's last stage wants it."""
    _, height, width = scan.geometry.shape
    start, stop = (index, 0, 0), (index + 1, height, width)
    slab = cropped(scan, start, stop)
    streams = [prepared(slab, stream.steps) for stream in spec.stages[-1].streams]
    values = labels_on(cropped(labels, start, stop), streams[0].geometry).values[0]
    grey = np.stack([np.rint(stream.hu[0] * 255).astype(np.uint8) for stream in streams])
    return Sample(grey, values, annotated, case, patient, index)


def read_samples(cases: Sequence[Case], spec: NetworkSpec) -> Job[list[Sample]]:
    """Read every annotated slice of some cases; yields progress per case."""
    samples: list[Sample] = []
    for done, case in enumerate(cases):
        yield Progress(done, len(cases), f"reading {case.name}")
        samples.extend(_samples_of(case, spec))
    return samples


def _samples_of(case: Case, spec: NetworkSpec) -> Iterator[Sample]:
    scan, labels, _ = read_case(case)
    numbers = case.slices or range(1, scan.geometry.shape[0] + 1)
    for number in numbers:
        yield sample_of(scan, labels, number - 1, spec, annotated=case.annotated, case=case.name, patient=case.patient)
