"""What a child rehearses, lest it forget, and what it is then asked about, to see whether it did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from napari_covseg.io.case_doubts import Doubts
from napari_covseg.io.cases import Case, Origin, origin_of, packs_of_unknown_scans, read_case
from napari_covseg.io.packs import grey_of
from napari_covseg.io.pseudonyms import patient_of_case
from napari_covseg.io.sample import sample_lesion, sample_lung, sample_scan
from napari_covseg.io.sentences import count
from napari_covseg.jobs import Job, Progress, Remark
from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.learned import Learned, Places, Record, merged
from napari_covseg.training.evenly import evenly
from napari_covseg.training.lesson import Lesson
from napari_covseg.training.neighbourhoods import NEIGHBOUR_MM
from napari_covseg.training.stacks import IGNORED, Stack, stack_of
from napari_covseg.volume import LabelMap, Volume
from napari_covseg.volume.copies import shared

REHEARSED, ASKED, RECALLED = 48, 12, 8
"""Slices that are rehearsed, that are asked about, and of those rehearsed the ones that are recalled in full, at most:
more would take longer than what is learned."""

OF_A_LONE_PATIENT = 4
"""So much fewer slices are asked about and recalled of a lone patient: more of them say no more."""

FEWEST_TO_HALVE = 4

OF_BEFORE = "rehearsed"
"""Stands among what a rehearsed stack is annotated for; no class has this name."""

MOST_CASES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """What is rehearsed and what is asked about; where there are two patients or more, none is on both sides.

    Parameters
    ----------
    rehearsed
        Learned from in every step.
    recalled
        A few of these slices in full: by them is judged how far a child may go.
    asked
        What the gate asks about.
    learned
        Which slices of which scans are rehearsed.
    """

    rehearsed: tuple[Stack, ...]
    recalled: tuple[Lesson, ...]
    asked: tuple[Lesson, ...]
    learned: Record


def synthetic_sample() -> tuple[Case, ...]:
    """Return the bundled synthetic scan as a case: what may be shipped for rehearsal; none where it is missing."""
    try:
        files = (sample_scan(), sample_lesion(), sample_lung())
    except ValueError:
        return ()
    annotated = frozenset({"ggo", "consolidation", "effusion", "lung"})
    return (Case("sample", *files, annotated=annotated, patient="sample"),)


def rehearsal(
    cases: Sequence[Case], spec: NetworkSpec, learned: Collection[Volume] = (), patients: Collection[str] = ()
) -> Job[Rehearsal]:
    """Read a bounded part of some cases; yields progress per case, returns what to rehearse and what to ask about.

    A case whose scan is being learned is left out, and a remark says so: its slices would judge what they had taught.
    So is one of a patient whose other scan is learned, where patients are known. A scan and its copies are known by any
    slice that they share, in a pack by the fingerprints of what they were; in a pack without these only while the
    slices were not resampled, which a remark says, too.

    Patients take turns: every second one is rehearsed, the others are asked about. The slices of a lone patient are
    halved, rehearsed from its middle up and asked about from there down, further apart than neighbours are; fewer than
    four, or such as lie too close for that, are only asked about.
    """
    for pack in packs_of_unknown_scans(cases):
        yield Remark(
            f"{pack.name} is of an earlier version and does not say which scans it holds: if it was made smaller than "
            "they, one that is corrected now is not noticed in it; make it again with 'covseg pack'."
        )
    others = [case for case in cases if patient_of_case(case) not in patients]
    if left := [case.name for case in cases if case not in others]:
        are = f"{left[0]} is" if len(left) == 1 else f"{count(len(left), 'case')} are"
        yield Remark(f"{are} left out of the older cases: what is learned now is of the same patient.")
    return (yield from _read(others, spec, learned, Doubts()))


def _read(cases: Sequence[Case], spec: NetworkSpec, learned: Collection[Volume], doubts: Doubts) -> Job[Rehearsal]:
    rehearsed, asked = _sides(cases)
    lone = not asked
    fewer = OF_A_LONE_PATIENT if lone else 1
    stacks, recalled, lessons = [], [], []
    known_by: dict[str, Learned] = {}
    together = spec.grain == "patch"
    chosen = [(case, False) for case in rehearsed] + [(case, True) for case in asked]
    for done, (case, is_asked) in enumerate(chosen):
        yield Progress(done, len(chosen), f"reading the older case {case.name}", aside=True)
        scan, labels, lung = read_case(case)
        origin = origin_of(case, scan)
        if any(_is_of(origin, scan, each) for each in learned):
            yield Remark(f"{case.name} is left out of the older cases: it is a scan whose corrections are learned now.")
            return (yield from _read([each for each in cases if each is not case], spec, learned, doubts))
        yield from doubts.about(case, scan, labels, lung)
        slices = case.indices(scan.geometry.shape[0])
        upper, lower = _halves(slices, scan.geometry.spacing_mm[0]) if lone else (slices, slices)
        if upper and (lone or not is_asked):
            share = -(-REHEARSED // max(1, len(rehearsed)))
            kept = _spread(labels, upper, share, together=together)
            known = {"annotated": case.annotated | {OF_BEFORE}, "case": case.name, "patient": case.patient}
            stacks.append(stack_of(scan, labels, lung, spec, slices=kept, **known))  # type: ignore[arg-type]
            if origin.voxels_sha256:
                seen = Learned.of([origin.first + index for index in kept], (), origin.slices_sha256)
                places = None if case.is_picture else Places.of(scan.geometry, origin.first)
                known_by = merged(
                    known_by,
                    {origin.voxels_sha256: seen.in_patient(set(filter(None, [patient_of_case(case)])), places)},
                )
            few = _of(kept, -(-RECALLED // (fewer * len(rehearsed))))
            recalled.append(Lesson(scan, labels, tuple(few), case.name, case.annotated - {"lung"}))
        if lone or is_asked:
            share = -(-ASKED // fewer // max(1, len(asked)))
            kept = _spread(labels, lower, share, together=together)
            lessons.append(Lesson(scan, labels, kept, case.name, case.annotated - {"lung"}))
    yield from doubts.about_the_others()
    return Rehearsal(
        tuple(stack for stack in stacks if (stack.labels != IGNORED).any()),
        _in_turn([lesson for lesson in recalled if lesson.reviewed])[:RECALLED],
        tuple(lesson for lesson in lessons if lesson.reviewed),
        known_by,
    )


def _is_of(origin: Origin, scan: Volume, learned: Volume) -> bool:
    """Whether a case was taken from a scan that is being learned, or from a copy of it: one slice in common is enough.

    Without a fingerprint the greys of both tell it.
    """
    if origin.voxels_sha256:
        is_same = origin.voxels_sha256 == learned.voxels_sha256
        return is_same or bool(shared(origin.slices_sha256, learned.slices_sha256))
    if scan.hu.shape[1:] != learned.hu.shape[1:]:
        return False
    return bool(shared(*(one.with_voxels(grey_of(one), one.geometry).slices_sha256 for one in (scan, learned))))


def _sides(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the cases to rehearse and those to ask about, a few of each, patients taking turns."""
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_patient[case.patient].append(case)
    patients = sorted(by_patient)
    sides = []
    for mine in (patients[::2], patients[1::2]):
        share = max(1, MOST_CASES // max(1, len(mine)))
        kept = [case for patient in mine for case in evenly(by_patient[patient], share)]
        sides.append(evenly(kept, MOST_CASES))
    return sides[0], sides[1]


def _halves(slices: Sequence[int], spacing_mm: float) -> tuple[Sequence[int], Sequence[int]]:
    """Return the slices well above the middle one and those below it; where either has none, all are below."""
    middle, apart = slices[len(slices) // 2], max(2.0, NEIGHBOUR_MM / spacing_mm)
    upper, lower = [k for k in slices if middle - k >= apart], [k for k in slices if k > middle]
    return (upper, lower) if upper and len(slices) >= FEWEST_TO_HALVE else ((), slices)


def _in_turn(lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """Return lessons in another order: those annotated for the same classes take turns with the others."""
    alike: dict[frozenset[str], list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        alike[lesson.annotated].append(lesson)
    return tuple(lesson for turn in zip_longest(*alike.values()) for lesson in turn if lesson is not None)


def _spread(labels: LabelMap, slices: Sequence[int], count: int, *, together: bool) -> tuple[int, ...]:
    """Return so many slices, those with a lesion first; for a network of patches all in one run.

    Otherwise every class has its share of them, the rarest first, spread evenly over the slices that show it.
    """
    classes = {k: frozenset(np.unique(labels.values[k]).tolist()) - {0} for k in slices}
    bearing = [k for k in slices if classes[k]]
    if together or not bearing:
        among = bearing or list(slices)
        first = max(0, (len(among) - count) // 2)
        return tuple(among[first : first + count] if together else _of(among, count))
    showing = {each: [k for k in bearing if each in classes[k]] for each in frozenset().union(*classes.values())}
    kept: set[int] = set()
    for turn, each in enumerate(sorted(showing, key=lambda one: (len(showing[one]), one))):
        share = -(-(count - len(kept)) // (len(showing) - turn))
        kept.update(_of([k for k in showing[each] if k not in kept], share))
    kept.update(_of([k for k in bearing if k not in kept], count - len(kept)))
    return tuple(sorted(kept))


def _of(slices: Sequence[int], count: int) -> list[int]:
    """Return so many of some slices, from the middles of as many equal parts."""
    count = min(count, len(slices))
    return [slices[int((part + 0.5) * len(slices) / count)] for part in range(count)]
