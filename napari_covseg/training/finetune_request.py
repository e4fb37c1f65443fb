"""What a reader asks of a fine-tuning, what of it cannot be, and what lies on the disk until the child is there."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from napari_covseg.io.case_sums import contents_sha256
from napari_covseg.io.cases import Case
from napari_covseg.networks import Checkpoint, NetworkSpec, checkpoint
from napari_covseg.networks.lineage import COPIED, RUN_ENDING, cases_sha256
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.gate import MARGIN
from napari_covseg.training.keeping import Keeping
from napari_covseg.training.lesson import Lesson
from napari_covseg.training.recipes import training_config
from napari_covseg.training.run_files import RunFiles, alone, refuse_closed

STEPS = 80
CHECKS = 10
RATE = 5e-4
LESION_SHARE = 0.25
"""So few pieces are cut at a lesion: with three in four, a child of a few slices learns that lesions are common, and on
the rest of the scan marks as much too much as it no longer misses."""

FILES_OF_A_CHILD = 12
"""So many files of a child, which is in half precision, are as large as what lies on the disk at once: finished stages
(2), and the state of another: its weights, their average, the best of that, and two moments of AdamW (10)."""

OLDER_CASES = "replay_contents_sha256"
"""Under which a run says what was in the older cases that it rehearses, where some were given."""

BYTES_PER_MB = 1_000_000
KEEPING = Keeping()


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
    copied_utc
        When the lessons were copied: what a reader marks from then on is not learned.
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
    copied_utc: datetime = field(default_factory=partial(datetime.now, UTC))

    @property
    def files(self) -> RunFiles:
        """What lies beside the child's file until it is there."""
        return RunFiles(self.out, RUN_ENDING)

    def about(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on, its settings aside."""
        return {
            "parent_sha256": self.parent.sha256,
            "sessions_sha256": [lesson.sha256 for lesson in self.lessons],
            "scans_sha256": [lesson.scan_sha256 for lesson in self.lessons],
            "keeping": asdict(self.keeping),
            "replay": None if self.replay is None else cases_sha256(case.name for case in self.replay),
            **({OLDER_CASES: contents_sha256(self.replay)} if self.replay else {}),
        }

    def begin(self) -> None:
        """Write down what the run is about, its settings, and what of a session that went on it has copied."""
        copied = {"utc": self.copied_utc.isoformat(), "slices": [lesson.reviewed for lesson in self.lessons]}
        self.files.begin({**self.about(), "config": asdict(self.config), COPIED: copied})

    @property
    def is_left(self) -> bool:
        """Whether what a run that was stopped left is of the same corrections, older cases and settings.

        Raises
        ------
        ValueError
            If what it says is damaged.
        """
        return self.files.is_about(self.about(), self.config) or self.knows_names_alone

    @property
    def knows_names_alone(self) -> bool:
        """Whether it is of an earlier build, which kept of the older cases their names and nothing else."""
        by_name = {key: value for key, value in self.about().items() if key != OLDER_CASES}
        return bool(self.replay) and self.files.about.exists() and self.files.is_about(by_name, self.config)

    @property
    def can_go_on(self) -> bool:
        """Whether what a run that was stopped left is of these settings, whatever build it was, and whole."""
        try:
            if not self.is_left:
                return False
            self.files.refuse_damaged()
        except ValueError:
            return False
        return True


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
        checks=CHECKS,
    )


def refuse(request: FineTuning) -> None:
    """Refuse what cannot be, before anything is learned."""
    if not any(lesson.reviewed for lesson in request.lessons):
        raise ValueError("No slice is marked reviewed yet; mark at least one, since only reviewed slices are learned.")
    refuse_taken(request.out)
    checkpoint.check_free(request.out, request.parent.sha256)
    _refuse_full_disk(request)


def refuse_taken(out: Path) -> None:
    """Refuse a child's file that is there already."""
    if out.exists():
        raise ValueError(f"{out} is there already and is kept; choose another name for the child.")


def _refuse_full_disk(request: FineTuning) -> None:
    """Refuse to learn what could not be kept: a child is as large as its parent, and what a kill must not cost, larger.

    Raises
    ------
    OSError
        If there is too little room.
    ValueError
        If it is no disk.
    """
    if not request.parent.path.exists():
        return
    folder = next(place for place in request.out.absolute().parents if place.exists())
    needed, free = FILES_OF_A_CHILD * request.parent.path.stat().st_size, shutil.disk_usage(folder).free
    if free < needed:
        refuse_closed(folder, request.out.name)
        told = f"{needed / BYTES_PER_MB:.1f} MB are needed, {free / BYTES_PER_MB:.1f} MB are free"
        raise OSError(f"There is no room in {folder} for what would be learned: {told}; free some space there.")


def draft_of(out: Path) -> Path:
    """Return where the child is until it is judged; no list of checkpoints shows it."""
    return out.with_name(f".{out.name.removesuffix(checkpoint.SUFFIX)}.unjudged{checkpoint.SUFFIX}")


def forget(out: Path) -> None:
    """Remove what lies beside a child's file for a killed run to go on with; one that is under way keeps it."""
    with suppress(ValueError), alone(out):
        forget_held(out)


def forget_held(out: Path) -> None:
    """Remove it where this run holds the name of the child's file already."""
    RunFiles(out, RUN_ENDING).forget()
    draft_of(out).unlink(missing_ok=True)
