"""Teach a checkpoint what a reader corrected; only reviewed slices are truth, and a gate judges what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_covseg.inference import Segmenter
from napari_covseg.io.sentences import count
from napari_covseg.jobs import Job, LeftError, Progress, Remark, overheard
from napari_covseg.measure import Agreement, pooled
from napari_covseg.networks import Checkpoint, NetworkSpec, checkpoint, load
from napari_covseg.networks.learned import learned_by
from napari_covseg.networks.lineage import SYNTHETIC_SAMPLE
from napari_covseg.networks.spec import Names
from napari_covseg.training.check import check_sample
from napari_covseg.training.child_card import card_of
from napari_covseg.training.classroom import Classroom, Pupil
from napari_covseg.training.comparison import found_on, table
from napari_covseg.training.done import Done
from napari_covseg.training.evenly import evenly
from napari_covseg.training.finetune_request import FineTuning, draft_of, forget_held, refuse, refuse_taken
from napari_covseg.training.gate import OLDER, judged, surely_fell, worst_fall
from napari_covseg.training.keeping import NOBODY, between
from napari_covseg.training.lesson import Lesson, joined, stack_of_lesson
from napari_covseg.training.losses import teaching
from napari_covseg.training.neighbourhoods import Dealt, Split, patients_of, split, why_nobody_judges
from napari_covseg.training.regions import with_regions
from napari_covseg.training.rehearsal import Rehearsal, rehearsal, synthetic_sample
from napari_covseg.training.run_files import alone
from napari_covseg.training.saving import saved, told_elsewhere
from napari_covseg.training.schooling import schooled
from napari_covseg.training.stacks import IGNORED, Stack, stack_of

UNLABELLED = 32
"""Slices nobody reviewed on which the parent's say is kept, at most."""

MOST_LOOKED_BACK = 6
"""Learned slices on which before and after are told, at most."""

NAMES_ALONE = (
    "What is gone on with was begun by an earlier version, which kept only the names of the older cases: if these were "
    "others then, start anew."
)
NOBODY_REMEMBERS = (
    "No older case shows a lesion that would tell whether it forgets any, so its gate will not promote it; give older "
    "annotated cases that do."
)
DECIMALS = 4
BUNDLED = "the bundled sample, which is synthetic"
FoundOn = dict[str, list[Agreement]]


def finetuned(request: FineTuning, enough: Callable[[], bool] = lambda: False) -> Job[Checkpoint]:
    """Fine-tune a checkpoint, judge the child and keep it; yields what the loop yields and remarks, returns the child.

    Parameters
    ----------
    request
        What to teach whom.
    enough
        Whether somebody wants the training to end with the best so far; the child is judged all the same.

    Raises
    ------
    ValueError
        If no slice is reviewed, the child's file is there already or made by another run now, or what is to be resumed
        was about something else.
    """
    refuse(request)
    with alone(request.out):
        lessons = yield from _begun(request)
        try:
            return (yield from _judged_child(request, lessons, enough))
        except BaseException:  # stopped, too
            if not request.files.hold_any_work:
                request.files.forget()
            raise


def _judged_child(request: FineTuning, lessons: Sequence[Lesson], enough: Callable[[], bool]) -> Job[Checkpoint]:
    torch.manual_seed(request.config.seed)
    network = Segmenter(request.parent, request.device)
    yield Progress(0, request.config.steps, "preparing the reviewed slices", aside=True)
    dealt = split(lessons, learned_by(request.parent.card))
    nobody = why_nobody_judges(dealt)
    yield Dealt.told(dealt, nobody)
    if barred := sum(len(part.barred) for part in dealt):
        told = f"{request.parent.name}, or one that it comes from, has learned from {count(barred, 'reviewed slice')}"
        yield Remark(f"{told} here or from what lies beside: {'it judges' if barred == 1 else 'these judge'} nothing.")
    held = [replace(one, reviewed=part.held_out) for one, part in zip(lessons, dealt, strict=True) if part.held_out]
    learned = _looked_back(lessons, dealt)
    old, bundled = yield from _remembered(request, network.spec, lessons)
    before = yield from _measured(network, (held, old.asked, learned), "measuring how good it is now")
    if request.replay != () and worst_fall(table(before[1], before[1]), request.margin) is None:
        yield Remark(NOBODY_REMEMBERS)
    recalled = yield from found_on(network, old.recalled, "measuring how good it is now")
    parent = deepcopy(network.module)
    done = Done()
    yield from overheard(_taught(request, network, lessons, dealt, old, enough), done.note)
    way = yield from _part_of_the_way(network, parent, old, recalled, request)
    card = card_of(request, lessons, dealt, old.learned, done, network.device.type)
    child, _ = saved(network.module.cpu(), card, request.out, draft_of)
    taught = Segmenter(child, request.device)
    after = yield from _measured(taught, (held, old.asked, learned), "judging what was learned")
    tables = [table(*pair) for pair in zip(before[:2], after[:2], strict=True)]
    older = BUNDLED if bundled else OLDER
    counts = (_count(held), _count(old.asked))
    verdict = judged(tables[0], tables[1], counts, request.margin, older, nobody, ended_early=done.ended_early)
    metrics = {
        "gate": verdict.figures(),
        "on_the_learned_slices": {"before": _dice(before[2]), "after": _dice(after[2])},
        "way": way,
        "replay": SYNTHETIC_SAMPLE if bundled else {"rehearsed": len(old.rehearsed), "asked": len(old.asked)},
    }
    return (yield from _kept(request, child, metrics))


def _begun(request: FineTuning) -> Job[tuple[Lesson, ...]]:
    """Write down what the run is about, and return what there is to learn, scan by scan."""
    refuse_taken(request.out)  # another run may have ended just now
    lessons, card = joined([lesson for lesson in request.lessons if lesson.reviewed]), request.parent.card
    if not _say_something(lessons, load(card.network), card.scheme):
        known = ", ".join(card.scheme)
        raise ValueError(f"Nobody looked on the reviewed slices for what {request.parent.name} knows ({known}).")
    files = request.files
    if request.resume and not files.hold_any_work:
        yield Remark(f"Nothing was saved yet for {request.out.name}; it starts anew.")
    if not (request.resume and files.about.exists()):
        if files.hold_any_work:
            yield Remark("What an earlier run had learned for this file before it was stopped is dropped.")
        forget_held(request.out)
    elif not request.is_left:
        what = "other corrections, older cases or settings"
        raise LeftError(f"{files.about.name} is about {what}; give them again, or start anew.")
    else:
        files.refuse_damaged()
        if request.knows_names_alone:
            yield Remark(NAMES_ALONE)
    request.begin()
    return lessons


def _remembered(request: FineTuning, spec: NetworkSpec, lessons: Sequence[Lesson]) -> Job[tuple[Rehearsal, bool]]:
    """Return what is rehearsed and asked about, and whether it is the bundled sample.

    It is where nobody gave older cases, and where those that were given can say nothing, unless it is what is learned:
    then nobody knows whether the child forgets any, and that is said.
    """
    learned, scheme = [lesson.scan for lesson in lessons], request.parent.card.scheme
    patients = frozenset[str]().union(*patients_of(lessons, learned_by(request.parent.card)))
    old = yield from rehearsal(request.replay or (), spec, learned, patients)
    bundled = request.replay is None or bool(request.replay and not _say_something(old.asked, spec, scheme))
    if bundled:
        sample = yield from rehearsal(synthetic_sample(), spec, learned)
        bundled = bool(sample.asked)
        old = sample if bundled or not old.rehearsed else old
    if request.replay and bundled:
        yield Remark("None of the older cases can say whether it forgets; the bundled sample is rehearsed instead.")
    return old, bundled


def _say_something(lessons: Sequence[Lesson], spec: NetworkSpec, scheme: Names) -> bool:
    """Whether lessons say something of what the network knows."""
    stages = [stage for stage in spec.stages if stage.target != "lung"]
    asked = [teaching(stage, scheme, lesson.annotated) for stage in stages for lesson in lessons]
    return any(each.says_something for each in asked)


def _taught(
    request: FineTuning,
    network: Segmenter,
    lessons: Sequence[Lesson],
    dealt: Sequence[Split],
    old: Rehearsal,
    enough: Callable[[], bool],
) -> Job[None]:
    """Teach every stage that finds lesions, one after the other; the lung stays as it is."""
    spec, scheme = network.spec, request.parent.card.scheme
    pairs = list(zip(lessons, dealt, strict=True))
    room = Classroom(
        taught=[stack_of_lesson(one, spec, part.taught) for one, part in pairs if part.taught],
        rehearsed=list(old.rehearsed),
        unlabelled=_unlabelled(lessons, spec) if request.keeping.distil else [],
        watched=check_sample([stack_of_lesson(one, spec, p.held_out) for one, p in pairs if p.held_out], spec),
    )
    stays = request.keeping.batch_norm_stays(sum(len(part.taught) for part in dealt))
    config = replace(request.config, freeze_batch_norm=stays)
    for stage in spec.stages:
        if stage.target != "lung":
            module = yield from schooled(
                network.module[stage.name],
                room,
                Pupil(spec, stage, scheme),
                config,
                request.keeping,
                device=network.device,
                files=(request.files.state(stage), request.files.finished(stage)),
                enough=enough,
            )
            network.module[stage.name] = module.to(network.device)
        if stage is not spec.stages[-1]:
            seen = (network.module[stage.name], stage, scheme, network.device)
            room = Classroom(
                (yield from with_regions(room.taught, *seen)),
                (yield from with_regions(room.rehearsed, *seen)),
                (yield from with_regions(room.unlabelled, *seen)),
                (yield from with_regions(room.watched, *seen)),
            )


def _part_of_the_way(
    network: Segmenter, parent: nn.ModuleDict, old: Rehearsal, recalled: FoundOn, request: FineTuning
) -> Job[float]:
    """Let the child go a part of the way from its parent, half of that if it forgot even so; return which part.

    Weights between a parent and its child keep most of what the child learned, forget less, and often do better than
    either (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, §4: half of the way).
    """
    child, keeping = deepcopy(network.module), request.keeping
    network.module.load_state_dict(between(parent, child, keeping.way))
    if not keeping.replay or not old.recalled:
        return keeping.way
    found = yield from found_on(network, old.recalled, "looking whether it still knows older cases")
    if not surely_fell(table(recalled, found), request.margin):
        return keeping.way
    network.module.load_state_dict(between(parent, child, keeping.way / 2))
    yield Remark("It began to forget older cases, so half of what it had changed was taken back.")
    return keeping.way / 2


def _measured(network: Segmenter, kinds: tuple[Sequence[Lesson], ...], doing: str) -> Job[list[FoundOn]]:
    held, old, learned = kinds
    return [
        (yield from found_on(network, held, doing)),
        (yield from found_on(network, old, doing)),
        (yield from found_on(network, learned, doing)),
    ]


def _unlabelled(lessons: Sequence[Lesson], spec: NetworkSpec) -> list[Stack]:
    """Return a few slices of every scan that nobody reviewed, without a label; what else is there is ignored."""
    stacks = []
    for lesson in lessons:
        if chosen := evenly(lesson.unreviewed, max(1, UNLABELLED // len(lessons))):
            known = {"annotated": NOBODY, "case": lesson.scan.name, "patient": lesson.scan_sha256}
            stack = stack_of(lesson.scan, lesson.labels, None, spec, slices=chosen, **known)  # type: ignore[arg-type]
            stacks.append(replace(stack, labels=np.where(stack.labels == IGNORED, stack.labels, np.uint8(0))))
    return stacks


def _looked_back(lessons: Sequence[Lesson], dealt: Sequence[Split]) -> list[Lesson]:
    """Return the lessons with a few of the slices that are learned, to tell before and after on them."""
    share = max(1, MOST_LOOKED_BACK // len(lessons))
    return [
        replace(lesson, reviewed=part.taught[:: -(-len(part.taught) // share)])
        for lesson, part in zip(lessons[:MOST_LOOKED_BACK], dealt, strict=False)
        if part.taught
    ]


def _count(lessons: Sequence[Lesson]) -> int:
    return sum(len(lesson.reviewed) for lesson in lessons)


def _dice(found: dict[str, list[Agreement]]) -> dict[str, float]:
    """Return the pooled Dice of every class of which there is any."""
    overlaps = {name: pooled(parts) for name, parts in sorted(found.items())}
    shown = {name: one.dice for name, one in overlaps.items() if one.true_positive + one.false_negative}
    return {f"dice_{name}": round(value, DECIMALS) for name, value in shown.items() if value is not None}


def _kept(request: FineTuning, draft: Checkpoint, metrics: dict[str, Any]) -> Job[Checkpoint]:
    card, module = draft.card.model_copy(update={"metrics": metrics}), checkpoint.revived(draft)
    draft.path.unlink(missing_ok=True)  # before the child, which may find no room beside it
    kept, why_elsewhere = saved(module, card, request.out)
    if why_elsewhere is not None:
        yield told_elsewhere(kept, why_elsewhere)
    with suppress(OSError):
        forget_held(request.out)
    return kept
