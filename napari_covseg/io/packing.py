"""Make a training pack of annotated cases, below a size if one is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage.transform import resize_local_mean

from napari_covseg.io.case_doubts import Doubts
from napari_covseg.io.cases import Case, origin_of, read_case
from napari_covseg.io.files import written
from napari_covseg.io.packs import PackedCase, PackEntry, PackWriter, checked, grey_of
from napari_covseg.io.sentences import count
from napari_covseg.jobs import Job, Progress
from napari_covseg.volume import LabelMap, Volume, cropped, labels_on
from napari_covseg.volume.resample import Image

SMALLEST_SIDE = 256
"""No slice is resampled to fewer pixels along its longer side; beyond that, slices are left out."""

SIDE_STEP = 16

MARGIN = 0.97
"""Share of the limit that is planned for: how well voxels compress is known only afterwards."""

BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack: the file, its cases and bytes, and a sentence for everything that was made smaller."""

    path: Path
    cases: int
    patients: int
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Limits:
    """The longest side that is kept, and how many slices of some cases, by their position."""

    side: int | None = None
    slices: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Size:
    """What one case came to: its bytes, its own longest side and slices, and how many of these were kept."""

    bytes: int
    side: int
    depth: int
    kept: int

    def side_in(self, limit: int | None) -> int:
        return self.side if limit is None else min(self.side, limit)

    def kept_within(self, share: float) -> int:
        return max(1, min(self.kept, int(self.kept * share / self.bytes)))


def size_in_mb(size: int) -> str:
    """Return a number of bytes in megabytes, rounded up: below 1 MB in thousandths, as ``--max-mb`` can be."""
    digits = 1 if size >= BYTES_PER_MB else 3
    return f"{ceil(size * 10**digits / BYTES_PER_MB) / 10**digits:.{digits}f} MB"


def packed(cases: Sequence[Case], out: Path, max_mb: float | None = None) -> Job[Pack]:
    """Write cases as one training pack, read it back, and return it; yields progress per case.

    Above the limit, slices are resampled within their plane, the largest first; if that is not enough, the largest
    cases keep fewer slices: the run of neighbours that bears most lesion. What is doubtful about a case is remarked
    once; numbers in its labels that are no class are left out.

    Raises
    ------
    ValueError
        If a case cannot be read or names slices that it does not have, or the limit cannot be kept.
    """
    limit = None if max_mb is None else round(max_mb * BYTES_PER_MB)
    doubts = Doubts()
    with written(out) as draft:
        limits = _Limits()
        found = yield from _attempt(cases, draft, limits, doubts)
        while limit is not None and draft.stat().st_size >= limit:
            limits = _tighter(limits, found, draft.stat().st_size, limit, out)
            found = yield from _attempt(cases, draft, limits, doubts)
        yield Progress(0, 0, "reading the pack back")
        entries = checked(draft)
    patients = len({entry.patient for entry in entries})
    return Pack(out, len(entries), patients, out.stat().st_size, tuple(_notes(found, limits, cases)))


def _attempt(cases: Sequence[Case], draft: Path, limits: _Limits, doubts: Doubts) -> Job[list[_Size]]:
    found: list[_Size] = []
    doing = "packing" if limits == _Limits() else "packing smaller"
    with PackWriter(draft) as pack:
        for position, case in enumerate(cases):
            yield Progress(position, len(cases), f"{doing}: {case.name}")
            scan, labels, lung = read_case(case)
            yield from doubts.about(case, scan, labels, lung)
            depth, *plane = scan.geometry.shape
            run = _best_run(labels.values, case.indices(depth), limits.slices.get(position, depth))
            size = pack.add(_small(f"{position:04d}", case, (scan, labels, lung), run, limits.side))
            found.append(_Size(size, max(plane), depth, len(run)))
    yield from doubts.about_the_others()
    return found


def _small(
    member: str, case: Case, images: tuple[Volume, LabelMap, LabelMap | None], run: range, side: int | None
) -> PackedCase:
    whole, lesions, lung = images
    scan = _resampled(_slices_of(whole, run), side)
    labels = labels_on(_slices_of(lesions, run), scan.geometry).values
    in_lung = None if lung is None else labels_on(_slices_of(lung, run), scan.geometry).values
    origin = origin_of(case, whole)
    entry = PackEntry(
        member=member,
        name=case.name,
        is_picture=case.is_picture,
        annotated=tuple(sorted(case.annotated)),
        patient=case.patient,
        slices=None if case.slices is None else tuple(n - run.start for n in case.slices if n - 1 in run),
        has_lung=lung is not None,
        affine=scan.geometry.affine.tolist(),
        voxels_sha256=origin.voxels_sha256,
        slices_sha256=origin.slices_sha256,
        first=origin.first + run.start,
    )
    return PackedCase(entry, grey_of(scan), labels, in_lung)


def _slices_of(image: Image, run: range) -> Image:
    _, height, width = image.geometry.shape
    return cropped(image, (run.start, 0, 0), (run.stop, height, width))


def _resampled(scan: Volume, side: int | None) -> Volume:
    """Return a scan whose slices are no larger than a side, by area, with the same field of view."""
    depth, height, width = scan.geometry.shape
    if side is None or max(height, width) <= side:
        return scan
    factor = side / max(height, width)
    geometry = scan.geometry.resized((depth, max(1, round(height * factor)), max(1, round(width * factor))))
    planes = [resize_local_mean(plane.astype(np.float32), geometry.shape[1:]) for plane in scan.hu]
    return scan.with_voxels(np.stack(planes).astype(np.float32), geometry)


def _best_run(labels: npt.NDArray[np.uint8], counting: Sequence[int], count: int) -> range:
    """Return so many neighbouring slices, those that count and bear most lesion; the first such run."""
    depth = len(labels)
    counted = np.isin(np.arange(depth), counting)
    bearing = counted & (labels > 0).any(axis=(1, 2))
    worth = np.concatenate([[0], np.cumsum(bearing + counted / (depth + 1))])
    first = int(np.argmax(np.round(worth[count:] - worth[: depth + 1 - count], 9)))
    return range(first, first + count)


def _tighter(limits: _Limits, found: Sequence[_Size], size: int, limit: int, out: Path) -> _Limits:
    """Return stricter limits after an attempt whose file came out at the limit or beyond it."""
    budget = sum(one.bytes for one in found) * MARGIN * limit / size
    widest = max(one.side_in(limits.side) for one in found)
    for side in range((widest - 1) // SIDE_STEP * SIDE_STEP, SMALLEST_SIDE - 1, -SIDE_STEP):
        shrunk = sum(one.bytes * min(1.0, side / one.side_in(limits.side)) ** 2 for one in found)
        if shrunk <= budget or side == SMALLEST_SIDE:
            return _Limits(side)
    if all(one.kept == 1 for one in found):
        raise ValueError(f"{out.name} cannot be made smaller than {size_in_mb(size)}; allow more, or pack fewer cases.")
    return replace(limits, slices=_fewer_slices(found, budget))


def _fewer_slices(found: Sequence[_Size], budget: float) -> dict[int, int]:
    """Return how many slices the largest cases keep, so that none takes more than a share that fits the budget."""
    low, high = 0.0, float(max(one.bytes for one in found))
    for _ in range(40):
        share = (low + high) / 2
        if sum(one.bytes * one.kept_within(share) / one.kept for one in found) > budget:
            high = share
        else:
            low = share
    return {position: one.kept_within(low) for position, one in enumerate(found) if one.kept_within(low) < one.depth}


def _notes(found: Sequence[_Size], limits: _Limits, cases: Sequence[Case]) -> Iterator[str]:
    smaller = [one for one in found if limits.side is not None and one.side > limits.side]
    if smaller:
        which = f"{len(smaller)} of {count(len(found), 'case')} {'is' if len(smaller) == 1 else 'are'} resampled"
        yield f"{which} to {limits.side} pixels along the longer side."
    for case, one in zip(cases, found, strict=True):
        if one.kept < one.depth:
            yield f"{case.name} keeps {one.kept} of its {one.depth} slices, those that bear most lesion."
