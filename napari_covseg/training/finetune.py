"""Teach a checkpoint what a reader corrected; only reviewed slices are truth, and a gate judges what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_covseg.inference import Segmenter
from napari_covseg.io.cases import Case
from napari_covseg.io.sentences import count
from napari_covseg.jobs import Job, Progress, Remark, overheard
from napari_covseg.measure import Agreement, pooled
from napari_covseg.networks import Card, Checkpoint, NetworkSpec, checkpoint
from napari_covseg.networks.lineage import RUN_ENDING, SYNTHETIC_SAMPLE
from napari_covseg.training.check import check_sample
from napari_covseg.training.classroom import Classroom, Pupil
from napari_covseg.training.done import Done
from napari_covseg.training.evenly import evenly
from napari_covseg.training.gate import MARGIN, OLDER, found_on, judged, surely_fell, table
from napari_covseg.training.keeping import NOBODY, Keeping, between
from napari_covseg.training.lesson import Lesson, joined, stack_of_lesson
from napari_covseg.training.loop import TrainingConfig
from napari_covseg.training.neighbourhoods import Dealt, Split, split
from napari_covseg.training.recipes import training_config
from napari_covseg.training.regions import with_regions
from napari_covseg.training.rehearsal import Rehearsal, rehearsal, synthetic_sample
from napari_covseg.training.run_files import RunFiles
from napari_covseg.training.schooling import schooled
from napari_covseg.training.stacks import IGNORED, Stack, stack_of
from napari_covseg.training.train import TERMS

STEPS = 80
RATE = 5e-4
LESION_SHARE = 0.25
"""So few pieces are cut at a lesion: with three in four, a child of a few slices learns that lesions are common, and on
the rest of the scan marks as much too much as it no longer misses."""

WAYS = (1.0, 0.75, 0.5)
"""Shares of the way from the parent that a child goes: the first after which what it rehearsed has not surely
suffered, the last where it always has."""

UNLABELLED = 32
"""Slices nobody reviewed on which the parent's say is kept, at most."""

MOST_LOOKED_BACK = 6
"""Learned slices on which before and after are told, at most."""

DECIMALS = 4
KEEPING = Keeping()

FoundOn = dict[str, list[Agreement]]


@dataclass(frozen=True, slots=True)
class FineTuning:
    """What to teach whom, and where the child goes.

    Parameters
    ----------
    parent
        Where to start; it is never changed.
    lessons
        One per session.
    out
        The child's file, which must not be there yet. Beside it lies, until it is there, what a killed run needs to go
        on: `RunFiles`.
    config
        Settings of the loop, as `short_run` gives them.
    keeping
        How it is kept from forgetting.
    replay
        Annotated cases to rehearse and to be asked about; None for the bundled synthetic sample.
    margin
        By how much the Dice of any lesion, and the mean of the classes, may fall on these.
    device
        Where to compute.
    resume
        Go on with a run that was killed.
    """

    parent: Checkpoint
    lessons: tuple[Lesson, ...]
    out: Path
    config: TrainingConfig
    keeping: Keeping = KEEPING
    replay: tuple[Case, ...] | None = None
    margin: float = MARGIN
    device: str = "auto"
    resume: bool = False

    @property
    def files(self) -> RunFiles:
        """What lies beside the child's file until it is there."""
        return RunFiles(self.out, RUN_ENDING)

    def about(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on."""
        return {
            "parent_sha256": self.parent.sha256,
            "sessions_sha256": [lesson.sha256 for lesson in self.lessons],
            "scans_sha256": [lesson.scan_sha256 for lesson in self.lessons],
            "config": json.loads(json.dumps(asdict(self.config))),
            "keeping": asdict(self.keeping),
            "replay": None if self.replay is None else sorted({case.name for case in self.replay}),
        }


def steps_for(slices: int) -> int:
    """Return how many steps so many reviewed slices are worth: `STEPS` for a few, four a slice for more, up to 600."""
    return min(600, max(STEPS, 4 * slices))


def short_run(spec: NetworkSpec, steps: int = STEPS, seed: int = 0) -> TrainingConfig:
    """Return settings for a run of a minute or two on a few slices: the shipped recipe's pieces, a smaller rate."""
    batch = 1 if spec.grain == "patch" else 2
    return replace(
        training_config(spec, "shipped", steps=steps, batch=batch, learning_rate=RATE, seed=seed, patience=0),
        warm_up=0.1,
        ema_decay=0.9,
        lesion_share=LESION_SHARE,
    )


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
        If no slice is reviewed, the child's file is there already, or what is to be resumed was about something else.
    """
    lessons = _checked(request)
    try:
        return (yield from _judged_child(request, lessons, enough))
    except Exception:
        if not request.files.hold_any_work:
            request.files.forget()
        raise


def _judged_child(request: FineTuning, lessons: Sequence[Lesson], enough: Callable[[], bool]) -> Job[Checkpoint]:
    torch.manual_seed(request.config.seed)
    network = Segmenter(request.parent, request.device)
    yield Progress(0, request.config.steps, "preparing the reviewed slices", aside=True)
    dealt = split(lessons)
    yield Dealt(*(sum(len(getattr(part, name)) for part in dealt) for name in ("taught", "held_out")))
    held = [replace(one, reviewed=part.held_out) for one, part in zip(lessons, dealt, strict=True) if part.held_out]
    learned = _looked_back(lessons, dealt)
    cases = synthetic_sample() if request.replay is None else request.replay
    old = yield from rehearsal(cases, network.spec, {lesson.scan.voxels_sha256 for lesson in lessons})
    before = yield from _measured(network, (held, old.asked, learned), "measuring how good it is now")
    recalled = yield from found_on(network, old.recalled, "measuring how good it is now")
    parent = deepcopy(network.module)
    done = Done()
    yield from overheard(_taught(request, network, lessons, dealt, old, enough), done.note)
    way = yield from _stepped_back(network, parent, old, recalled, request.margin)
    card = _card(request, dealt, {"gate": UNJUDGED}, {**done.figures(), "device": network.device.type})
    child = checkpoint.save(network.module.cpu(), card, _draft(request.out))
    taught = Segmenter(child, request.device)
    after = yield from _measured(taught, (held, old.asked, learned), "judging what was learned")
    tables = [table(*pair) for pair in zip(before[:2], after[:2], strict=True)]
    bundled = request.replay is None
    older = BUNDLED if bundled else OLDER
    verdict = judged(tables[0], tables[1], (_count(held), _count(old.asked)), request.margin, older)
    metrics = {
        "gate": verdict.figures(),
        "on_the_learned_slices": {"before": _dice(before[2]), "after": _dice(after[2])},
        "way": way,
        "replay": SYNTHETIC_SAMPLE if bundled else [case.name for case in request.replay or ()],
    }
    return _kept(request, child, metrics)


UNJUDGED = {"promoted": False, "judged": False, "words": "It was not judged."}


BUNDLED = "the bundled sample, which is synthetic"


def _checked(request: FineTuning) -> tuple[Lesson, ...]:
    """Refuse what cannot be, write down what the run is about, and return what there is to learn, scan by scan."""
    if not any(lesson.reviewed for lesson in request.lessons):
        raise ValueError("No slice is marked reviewed yet; mark at least one, since only reviewed slices are learned.")
    if request.out.exists():
        raise ValueError(f"{request.out} is there already and is kept; choose another name for the child.")
    checkpoint.check_free(request.out, request.parent.sha256)
    about, files = request.about(), request.files
    if not (request.resume and files.about.exists()):
        forget(request.out)
    elif not files.is_about(about):
        raise ValueError(
            f"{files.about.name} is about other corrections or settings; start without --resume to learn anew."
        )
    lessons = joined([lesson for lesson in request.lessons if lesson.reviewed])
    files.begin(about)
    return lessons


def forget(out: Path) -> None:
    """Remove what lies beside a child's file for a killed run to go on with."""
    RunFiles(out, RUN_ENDING).forget()
    _draft(out).unlink(missing_ok=True)


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


def _stepped_back(
    network: Segmenter, parent: nn.ModuleDict, old: Rehearsal, recalled: FoundOn, margin: float
) -> Job[float]:
    """Go back towards the parent until what was rehearsed is remembered; return which share of the way is left.

    Weights between a parent and its child keep most of what the child learned and forget less (Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022).
    """
    child = deepcopy(network.module)
    if not old.recalled:
        return WAYS[0]
    for way in WAYS:
        network.module.load_state_dict(between(parent, child, way))
        found = yield from found_on(network, old.recalled, "looking whether it still knows older cases")
        if not surely_fell(table(recalled, found), margin):
            break
    if way < WAYS[0]:
        yield Remark(f"It began to forget older cases, so {1 - way:.0%} of what it had changed was taken back.")
    return way


def _measured(network: Segmenter, kinds: tuple[Sequence[Lesson], ...], doing: str) -> Job[list[FoundOn]]:
    held, old, learned = kinds
    return [
        (yield from found_on(network, held, doing)),
        (yield from found_on(network, old, doing)),
        (yield from found_on(network, learned, doing)),
    ]


def _unlabelled(lessons: Sequence[Lesson], spec: NetworkSpec) -> list[Stack]:
    """Return a few slices of every scan that nobody reviewed, all of their labels ignored."""
    stacks = []
    for lesson in lessons:
        if chosen := evenly(lesson.unreviewed, max(1, UNLABELLED // len(lessons))):
            known = {"annotated": NOBODY, "case": lesson.scan.name, "patient": lesson.scan_sha256}
            stack = stack_of(lesson.scan, lesson.labels, None, spec, slices=chosen, **known)  # type: ignore[arg-type]
            stacks.append(replace(stack, labels=np.full_like(stack.labels, IGNORED)))
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
    dice = {name: pooled(parts).dice for name, parts in found.items()}
    return {f"dice_{name}": round(value, DECIMALS) for name, value in sorted(dice.items()) if value is not None}


def _draft(out: Path) -> Path:
    """Return where the child is until it is judged; no list of checkpoints shows it."""
    return out.with_name(f".{out.name.removesuffix(checkpoint.SUFFIX)}.unjudged{checkpoint.SUFFIX}")


def _kept(request: FineTuning, child: Checkpoint, metrics: dict[str, Any]) -> Checkpoint:
    card = child.card.model_copy(update={"metrics": metrics})
    kept = checkpoint.save(checkpoint.revived(child), card, request.out)
    forget(request.out)
    return kept


def _card(request: FineTuning, dealt: Sequence[Split], metrics: dict[str, Any], done: Mapping[str, Any]) -> Card:
    parent, lessons = request.parent.card, [lesson for lesson in request.lessons if lesson.reviewed]
    stays = request.keeping.batch_norm_stays(sum(len(part.taught) for part in dealt))
    counts = {name: sum(len(getattr(part, name)) for part in dealt) for name in ("taught", "held_out", "left_out")}
    return Card(
        network=parent.network,
        width=parent.width,
        scheme=parent.scheme,
        trained_on=_told_of(counts["taught"], len(lessons)),
        terms=parent.terms or TERMS,
        parent_sha256=request.parent.sha256,
        sessions_sha256=tuple(lesson.sha256 for lesson in lessons),
        scans_sha256=tuple(lesson.scan_sha256 for lesson in lessons),
        config={
            **asdict(replace(request.config, freeze_batch_norm=stays)),
            "keeping": asdict(request.keeping),
            "slices": counts,
            "held_out_slices": [[index + 1 for index in part.held_out] for part in dealt],
            "done": dict(done),
        },
        metrics=metrics,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("napari-covseg"),
    )


def _told_of(slices: int, sessions: int) -> str:
    return f"{count(slices, 'reviewed slice')} of {count(sessions, 'session')}"
