"""Annotated slices as a network sees them, small enough to keep in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from napari_covseg.io.case_doubts import Doubts
from napari_covseg.io.cases import Case, read_case
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import NetworkSpec
from napari_covseg.preprocess import Resize, Square, Step, Window, prepared
from napari_covseg.volume import LabelMap, Volume, cropped, labels_on

STORE_HU = (-1000.0, 1000.0)
"""What grey 0 … 255 stands for: the widest window of the five papers, in steps of 8 HU, well below a scan's noise."""

HEALTHY_LUNG = 5
"""Label of lung without a lesion, where a lung mask is known; beside the values of `LESIONS`."""

IGNORED = 255
"""Label of what nobody looked at."""

Plane = npt.NDArray[np.uint8]
Region = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices of one scan on a network's grid; a lone slice is a stack of one.

    Parameters
    ----------
    grey
        (D, H, W) uint8, `STORE_HU` in 256 steps.
    labels
        (D, H, W) uint8, values of `LESIONS`, `HEALTHY_LUNG` or `IGNORED`.
    annotated
        Classes somebody looked for; ``lung`` among them where a lung mask is there.
    case, patient
        Where it is from.
    regions
        By name of a cascade's stage, where it saw lung or infection, (D, H, W).
    """

    grey: Plane
    labels: Plane
    annotated: frozenset[str]
    case: str
    patient: str
    regions: Mapping[str, Region] = field(default_factory=dict)

    def with_region(self, stage: str, region: Region) -> Stack:
        """Return the stack knowing also what one stage of a cascade saw."""
        return replace(self, regions={**self.regions, stage: region})

    @property
    def grey_hu(self) -> npt.NDArray[np.float32]:
        """Hounsfield units again, (D, H, W)."""
        return hounsfield(self.grey)


def stack_of(
    scan: Volume,
    labels: LabelMap,
    lung: LabelMap | None,
    spec: NetworkSpec,
    *,
    annotated: frozenset[str],
    case: str,
    patient: str,
    slices: Sequence[int] | None = None,
) -> Stack:
    """Return a scan in reading order as a network sees it.

    Parameters
    ----------
    scan, labels, lung
        On one grid.
    spec
        The network; one of slices keeps only the annotated ones, one of patches all, for their context.
    annotated, case, patient
        As in `Stack`.
    slices
        Indices of the annotated slices; all of them without.
    """
    depth = scan.geometry.shape[0]
    looked_at = list(range(depth) if slices is None else slices)
    kept = list(range(depth)) if spec.grain == "patch" else looked_at
    planes = [_plane(scan, labels, lung, spec, index) for index in kept]
    grey, target = (np.stack(part) for part in zip(*planes, strict=True))
    target[[index not in set(looked_at) for index in kept]] = IGNORED
    known = (annotated - {"lung"}) | ({"lung"} if lung is not None else set())
    return Stack(grey, target, known, case, patient)


def read_stacks(
    cases: Sequence[Case],
    spec: NetworkSpec,
    note: Callable[[Case, Volume], object] = lambda *_: None,
    doubts: Doubts | None = None,
) -> Job[list[Stack]]:
    """Read every annotated slice of some cases; yields progress and doubts per case, and notes each with its scan.

    For a network of patches the lone slices of one patient, ``<patient>-<number>``, become one stack.
    """
    stacks, doubts = [], doubts or Doubts()
    for done, case in enumerate(cases):
        yield Progress(done, len(cases), f"reading {case.name}")
        scan, labels, lung = read_case(case)
        yield from doubts.about(case, scan, labels, lung)
        indices = case.indices(scan.geometry.shape[0])
        if not indices:
            continue
        note(case, scan)
        known = {"annotated": case.annotated, "case": case.name, "patient": case.patient}
        stacks.append(stack_of(scan, labels, lung, spec, slices=indices, **known))  # type: ignore[arg-type]
    yield from doubts.about_the_others()
    return _piled(stacks) if spec.grain == "patch" else stacks


def hounsfield(grey: Plane) -> npt.NDArray[np.float32]:
    """Return Hounsfield units of stored grey."""
    low_hu, high_hu = STORE_HU
    return grey * np.float32((high_hu - low_hu) / 255) + np.float32(low_hu)


def grid_steps(spec: NetworkSpec) -> tuple[Step, ...]:
    """Return the steps that change the grid, alike in every stream, for slices whose air is grey 0."""
    changing = [step for step in spec.stages[0].streams[0].steps if isinstance(step, Square | Resize)]
    return tuple(Square(outside=0.0) if isinstance(step, Square) else step for step in changing)


def _plane(scan: Volume, labels: LabelMap, lung: LabelMap | None, spec: NetworkSpec, index: int) -> tuple[Plane, Plane]:
    _, height, width = scan.geometry.shape
    start, stop = (index, 0, 0), (index + 1, height, width)
    slab = prepared(cropped(scan, start, stop), (Window(*STORE_HU), *grid_steps(spec)))
    grey = np.rint(slab.hu[0] * 255).astype(np.uint8)
    target = labels_on(cropped(labels, start, stop), slab.geometry).values[0].copy()
    if lung is not None:
        in_lung = labels_on(cropped(lung, start, stop), slab.geometry).values[0] > 0
        target[in_lung & (target == 0)] = HEALTHY_LUNG
    return grey, target


def _piled(stacks: Sequence[Stack]) -> list[Stack]:
    piles = []
    for _, alike in groupby(stacks, key=_pile_of):
        members = list(alike)
        grey, labels = (np.concatenate([getattr(s, part) for s in members]) for part in ("grey", "labels"))
        piles.append(replace(members[0], grey=grey, labels=labels))
    return piles


def _pile_of(stack: Stack) -> tuple[object, ...]:
    """Return what stacks of one pile share: only slices numbered for their patient ever do."""
    numbered = re.fullmatch(rf"{re.escape(stack.patient)}-\d+", stack.case)
    return (stack.patient, stack.annotated, stack.grey.shape[1:]) if numbered else (stack.case,)
