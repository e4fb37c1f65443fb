"""Which reviewed slices judge a child instead of teaching it: none has a neighbour among those that teach.

Slices next to each other show the same lesion, so a slice whose neighbour was learned says little about what a child
makes of slices nobody corrected. What an ancestor learned the child has learned, too: a scan is corrected a few slices
at a time, and every fine-tuning goes on from the last. So the rule holds along the lineage, by the record in the
parent's card: a slice that taught any ancestor, or has a neighbour that did, never judges; one that judged an ancestor
judges again rather than another. And it holds across copies of one scan, which are known by the slices that they share,
and, roughly, across the scans of one patient, who was laid down anew for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_covseg.networks.learned import Learned, Places, Record
from napari_covseg.training.evenly import evenly
from napari_covseg.training.lesson import Lesson
from napari_covseg.volume.copies import moved, shared

NEIGHBOUR_MM = 10.0
"""Slices as close as this along the scan are neighbours, whatever they show; so are slices next to each other."""

ONE_LESION_MM = 20.0
"""So are slices as close as this whose lesions lie over each other."""

HELD_OUT_SHARE = 0.2
MOST_HELD_OUT = 40
"""More of one scan judge no better, and all of them are segmented twice."""

TEACHING_SHARE = 0.5
"""At least this share of the reviewed slices teaches, or none is held out."""

MOST_COMPARED = 24

NOBODY_KNOWN = Learned()

TOO_CLOSE = (
    "the corrected slices are too few or too close together. To have it judged, correct more, further apart, and learn "
    "again"
)
LEARNED_BEFORE = (
    "the network that it starts from, or one before that, has learned from the corrected slices or from their "
    f"neighbours. To have it judged, correct slices further than {ONE_LESION_MM / 10:g} cm from these and learn again"
)


@dataclass(frozen=True, slots=True)
class Split:
    """The reviewed slices of one lesson: those that teach, those that judge, and those left out between them.

    ``barred`` are those that cannot judge, since they or their neighbours taught an ancestor; they teach or are left
    out.
    """

    taught: tuple[int, ...]
    held_out: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    barred: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dealt:
    """Told when a fine-tuning begins: how many reviewed slices teach, judge or lie between, and why none judges."""

    taught: int
    held_out: int
    left_out: int
    nobody: str = ""

    @classmethod
    def told(cls, dealt: Sequence[Split], nobody: str) -> Dealt:
        """Return what is told of all lessons together."""
        taught, held_out, left_out = (sum(map(len, each)) for each in zip(*map(_parts, dealt), strict=True))
        return cls(taught, held_out, left_out, nobody)


def _parts(dealt: Split) -> tuple[tuple[int, ...], ...]:
    return dealt.taught, dealt.held_out, dealt.left_out


def split(lessons: Sequence[Lesson], learned: Record | None = None) -> tuple[Split, ...]:
    """Return how each lesson's reviewed slices are dealt.

    Of every lesson with two slices or more a run of about a fifth is held out, with as few neighbours to leave out as
    can be, and with a lesion where there is one. Where no lesson can spare any, whole lessons are held out; a lone one
    teaches all it has, and nothing judges. Of copies of one scan, and of a patient's scans, only the first that can
    holds any out, and none teaches what lies beside these.

    Parameters
    ----------
    lessons
        Of as many scans.
    learned
        What the parent and those before it have seen: none of what taught them judges.
    """
    known = [_known_of(lesson, learned or {}) for lesson in lessons]
    patients = patients_of(lessons, learned or {})
    barred = [_barred(*each, learned or {}) for each in zip(lessons, known, patients, strict=True)]
    copies = _copies(lessons)
    of_one = _of_one_patient(patients, copies)
    found: list[Split] = []
    for index, each in enumerate(zip(lessons, known, barred, strict=True)):
        judges = [k for k in of_one[index] if k < index and found[k].held_out]
        found.append(_best(*each, may_judge=index not in copies and not judges))
    for index, firsts in copies.items():
        for first in firsts:
            found[index] = _away_from(found[first].held_out, lessons[first], lessons[index], found[index])
    for index, lesson in enumerate(lessons):
        for other in of_one[index]:
            found[index] = _away_from_patient(found[other].held_out, lessons[other], lesson, found[index])
    if any(one.held_out for one in found) or len(lessons) < 2:
        return tuple(found)
    wanted = max(1, round(HELD_OUT_SHARE * sum(len(lesson.reviewed) for lesson in lessons)))
    kin = copies.keys() | frozenset[int]().union(*copies.values())
    kin |= {index for index, others in enumerate(of_one) if others}
    able = [k for k, lesson in enumerate(lessons) if lesson.reviewed and not found[k].barred and k not in kin]
    able.sort(key=lambda index: not known[index].judged)
    for index in able if len(able) < len(lessons) else able[:-1]:
        if wanted <= 0:
            break
        found[index] = Split((), lessons[index].reviewed)
        wanted -= len(lessons[index].reviewed)
    return tuple(found)


def doubted(lesson: Lesson, learned: Record) -> str:
    """Return why a lesson alone will spare no slice to judge by; empty where it will, as far as is soon known.

    Of many slices `MOST_COMPARED` that taught an ancestor and as many others are asked about, spread over them, since
    to compare them all takes long. So does looking for copies of the scan among what ancestors learned; that waits
    until it is learned.
    """
    seen = {scan: learned[scan] for scan in (lesson.scan_sha256, lesson.scan.voxels_sha256) if scan in learned}
    barred = _barred(lesson, _known_of(lesson, seen), patients_of([lesson], seen)[0], seen)
    others = [index for index in lesson.reviewed if index not in barred]
    asked = sorted([*evenly(barred, MOST_COMPARED), *evenly(others, MOST_COMPARED)])
    return why_nobody_judges(split([replace(lesson, reviewed=tuple(asked))], seen))


def why_nobody_judges(dealt: Sequence[Split]) -> str:
    """Return, in words, why no slice is held out, and what would mend it; empty where one is."""
    if any(one.held_out for one in dealt):
        return ""
    return LEARNED_BEFORE if any(one.barred for one in dealt) else TOO_CLOSE


def are_neighbours(lesson: Lesson, one: int, other: int) -> bool:
    """Whether two slices of a lesson show much the same; of one beyond its scan the worst is assumed.

    Parameters
    ----------
    lesson
        With the scan and what was found in it.
    one, other
        Indices of the slices; one of a longer copy of the scan may lie beyond it.
    """
    gap_mm = abs(one - other) * lesson.scan.geometry.spacing_mm[0]
    if abs(one - other) <= 1 or gap_mm <= NEIGHBOUR_MM:
        return True
    values = lesson.labels.values
    if gap_mm > ONE_LESION_MM or not all(0 <= index < len(values) for index in (one, other)):
        return gap_mm <= ONE_LESION_MM
    return bool(((values[one] > 0) & (values[other] > 0)).any())


def _reach(lesson: Lesson) -> int:
    """Return how many slices away none is a neighbour any more: of 500 slices most pairs lie further apart."""
    return max(1, int(ONE_LESION_MM / lesson.scan.geometry.spacing_mm[0]) + 1)


def _known_of(lesson: Lesson, learned: Record) -> Learned:
    """Return what is known of a lesson's scan and its copies, by their voxels or, from an old card, by its file."""
    known = learned.get(lesson.scan_sha256, NOBODY_KNOWN)
    for scan, seen in learned.items():
        if (found := _of_same_scan(lesson, scan, seen)) is not None:
            known = known.beside(found)
    return known


def _of_same_scan(lesson: Lesson, scan: str, seen: Learned) -> Learned | None:
    """Return what was seen of a scan, by the numbers of a lesson's slices; None where it is no copy of the lesson's."""
    return seen if scan == lesson.scan.voxels_sha256 else seen.in_copy(lesson.scan.slices_sha256)


def _copies(lessons: Sequence[Lesson]) -> dict[int, frozenset[int]]:
    """Return which lessons are of a copy of an earlier one's scan, and of which."""
    first: dict[str, int] = {}
    copies = {}
    for index, lesson in enumerate(lessons if len(lessons) > 1 else ()):
        fingerprints = [each for both in lesson.scan.slices_sha256 for each in both.split()]
        if earlier := frozenset(first[each] for each in fingerprints if each in first):
            copies[index] = earlier
        for each in fingerprints:
            first.setdefault(each, index)
    return copies


def patients_of(lessons: Sequence[Lesson], learned: Record) -> tuple[frozenset[str], ...]:
    """Return the names of every lesson's patient: its own, and those that lead to it over copies and over the record.

    A copy of a scan may have lost the patient's number, and is still of that patient.
    """
    copies, own = _copies(lessons), [frozenset({*one.patients, *_known_of(one, learned).patients}) for one in lessons]
    of_one = [own[index].union(*(own[first] for first in firsts)) for index, firsts in copies.items()]
    alike = [*own, *of_one, *(frozenset(seen.patients) for seen in learned.values())]

    def grown(names: frozenset[str]) -> frozenset[str]:
        more = names.union(*(each for each in alike if not each.isdisjoint(names)))
        return names if more == names else grown(more)

    return tuple(map(grown, own))


def _of_one_patient(
    patients: Sequence[frozenset[str]], copies: Mapping[int, Collection[int]]
) -> tuple[tuple[int, ...], ...]:
    """Return, for every lesson, the others of its patient as far as patients are known; copies of its scan are none."""

    def are_copies(one: int, other: int) -> bool:
        return one == other or one in copies.get(other, ()) or other in copies.get(one, ())

    def others(index: int) -> Iterator[int]:
        mine = patients[index]
        return (k for k, each in enumerate(patients) if not each.isdisjoint(mine) and not are_copies(k, index))

    return tuple(tuple(others(index)) for index in range(len(patients)))


def _away_from_patient(held_out: Collection[int], judging: Lesson, lesson: Lesson, dealt: Split) -> Split:
    """Return how a lesson is dealt when none of it teaches what may lie beside another scan's slices that judge."""
    ours, theirs = Places.of(lesson.scan.geometry), Places.of(judging.scan.geometry)
    return _left_out(dealt, {k for k in dealt.taught if any(ours.may_be_near(k, theirs, held) for held in held_out)})


def _left_out(dealt: Split, left: Collection[int]) -> Split:
    taught = tuple(k for k in dealt.taught if k not in left)
    return replace(dealt, taught=taught, left_out=tuple(sorted({*dealt.left_out, *left})))


def _away_from(held_out: Collection[int], first: Lesson, copy: Lesson, dealt: Split) -> Split:
    """Return how a copy is dealt when none of it teaches what lies beside slices of another that judge."""
    pairs = shared(copy.scan.slices_sha256, first.scan.slices_sha256)
    places = zip(dealt.taught, moved(dealt.taught, pairs), strict=True)
    return _left_out(dealt, {k for k, place in places if any(are_neighbours(first, place, held) for held in held_out)})


def _barred(lesson: Lesson, known: Learned, patients: Collection[str], learned: Record) -> tuple[int, ...]:
    """Return the reviewed slices that taught an ancestor, or may show what did, in whatever scan of the patient."""
    if known.taught is None:
        return lesson.reviewed
    taught, reach = [number - 1 for number in known.taught], _reach(lesson)
    others = [
        seen
        for scan, seen in learned.items()
        if not set(seen.patients).isdisjoint(patients) and _of_same_scan(lesson, scan, seen) is None
    ]
    places = Places.of(lesson.scan.geometry)
    return tuple(
        k
        for k in lesson.reviewed
        if any(abs(k - other) <= reach and are_neighbours(lesson, k, other) for other in taught)
        or any(seen.may_be_near(places, k) for seen in others)
    )


def _best(lesson: Lesson, known: Learned, barred: tuple[int, ...], *, may_judge: bool) -> Split:
    """Return the split that holds out what judges best; without one, all teaches."""
    candidates = list(_candidates(lesson, barred)) if may_judge else []
    if not candidates:
        return Split(lesson.reviewed, barred=barred)
    classes = {index: frozenset(np.unique(lesson.labels.values[index]).tolist()) - {0} for index in lesson.reviewed}
    depth, judged = lesson.scan.geometry.shape[0], {number - 1 for number in known.judged}
    return min(candidates, key=lambda found: _cost(found, classes, depth, judged))


def _wanted(count: int) -> int:
    """Return how many of so many slices of a lesson judge."""
    return min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * count)))


def _candidates(lesson: Lesson, barred: Collection[int]) -> Iterator[Split]:
    reviewed, count = lesson.reviewed, len(lesson.reviewed)
    reach = _reach(lesson)
    pairs = [[abs(a - b) <= reach and are_neighbours(lesson, a, b) for b in reviewed] for a in reviewed]
    close = np.array(pairs).reshape(count, count)
    able = [place for place, index in enumerate(reviewed) if index not in barred]
    wanted = _wanted(count)
    sizes = {max(1, wanted // 2), wanted, min(2 * wanted, MOST_HELD_OUT)}
    for size in sorted({min(size, len(able)) for size in sizes} - {0}):
        for first in range(len(able) - size + 1):
            held = np.zeros(count, bool)
            held[able[first : first + size]] = True
            left = close[held].any(axis=0) & ~held
            taught = ~held & ~left
            if taught.sum() >= max(1, TEACHING_SHARE * count):
                dealt = [tuple(np.array(reviewed)[each].tolist()) for each in (taught, held, left)]
                yield Split(dealt[0], dealt[1], dealt[2], tuple(barred))


def _cost(
    found: Split, classes: Mapping[int, frozenset[int]], depth: int, judged: Collection[int]
) -> tuple[float, ...]:
    """Return what speaks against a split, the weightiest first."""
    shown = len(frozenset[int]().union(*(classes[index] for index in found.held_out)))
    again = len(set(found.held_out) & set(judged))
    size_off = abs(len(found.held_out) - _wanted(len(classes)))
    middle_off = abs(2 * found.held_out[0] + 1 - depth)
    return (-min(1, shown), -again, len(found.left_out) + size_off, -shown, middle_off)
