"""What a training keeps beside its checkpoint until that is there, so that a later call can go on with it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

from napari_covseg.io import written
from napari_covseg.jobs import LeftError
from napari_covseg.networks.lineage import COPIED
from napari_covseg.networks.spec import Stage
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.tensor_files import read_tensors, write_tensors

STATE, FINISHED, LOCK = ".state", ".done", ".lock"
_SAVED = "saved"
_NOT_COMPARED = (_SAVED, COPIED)


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files beside one checkpoint-to-be: what the run is about, and how far each of its stages is.

    Parameters
    ----------
    out
        The checkpoint that is to be.
    ending
        Of the file that says what the run is about.
    """

    out: Path
    ending: str

    @property
    def about(self) -> Path:
        """What says which training the files beside it belong to."""
        return self._beside(self.ending)

    def state(self, stage: Stage) -> Path:
        """Return where a stage's training can be gone on with."""
        return self._beside(f".{stage.name}{STATE}")

    def finished(self, stage: Stage) -> Path:
        """Return where a finished stage waits for the others of its cascade, or to be judged."""
        return self._beside(f".{stage.name}{FINISHED}")

    def is_about(self, about: Mapping[str, Any], config: TrainingConfig | None = None) -> bool:
        """Whether what an earlier call left, if anything, is of such a run, with such settings where they are told.

        Raises
        ------
        ValueError
            If what it says is damaged.
        """
        if not self.about.exists():
            return True
        try:
            left = dict(json.loads(self.about.read_text("utf-8")))
            for told in _NOT_COMPARED:
                left.pop(told, None)
            saved = left.pop("config") if config else {}
            return left == about and (config is None or config.is_as_saved(saved))
        except (ValueError, TypeError, KeyError) as error:
            raise LeftError(f"{self.about.name} is damaged; start anew.") from error

    @property
    def hold_any_work(self) -> bool:
        """Whether there is anything to go on with."""
        return bool(self._work())

    @property
    def have_yet_to_replace_it(self) -> bool:
        """Whether a run is under way that has not saved the file: one that is there is older than the run.

        `is_about` finds out whether what the run says of itself can be read.
        """
        if not self.about.exists():
            return self.hold_any_work
        return not json.loads(self.about.read_text("utf-8")).get(_SAVED, False)

    def refuse_damaged(self) -> None:
        """Read what there is to go on with, so that damage is told before anything is computed.

        Raises
        ------
        ValueError
            If some of it is damaged.
        """
        for path in self._work():
            read_tensors(path)

    def _work(self) -> list[Path]:
        beside = self.out.parent.glob(f"{escape(self.out.name)}.*")
        return [path for path in beside if path.suffix in (STATE, FINISHED)]

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what the run is about."""
        with written(self.about) as draft:
            draft.write_text(json.dumps(about, indent=1), "utf-8")

    def say_saved(self) -> None:
        """Write down that the file is there and is this run's; what lies beside it is needed until it is judged."""
        self.begin({**json.loads(self.about.read_text("utf-8")), _SAVED: True})

    def forget(self) -> None:
        """Remove what an earlier call left."""
        for path in self.out.parent.glob(f"{escape(self.out.name)}.*"):
            if path.suffix in (STATE, FINISHED) or path == self.about:
                path.unlink(missing_ok=True)

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(f"{self.out.name}{ending}")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Let nobody else make a file, or touch what lies beside it, for as long as the block takes.

    The operating system lets go of it when the process ends, also when it is killed.

    Raises
    ------
    ValueError
        If another run makes it now, or no file can be made there.
    OSError
        If nothing may be written there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    file = _lock_of(out)
    held = FileLock(file, timeout=0, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        if not file.exists():
            refuse_closed(out.parent, out.name)
        raise ValueError(
            f"{out.name} is being made by another run now; wait until that has ended, or choose another name."
        ) from None
    except OSError as error:  # nobody has heard of the lock
        raise OSError(error.errno, error.strerror, str(out)) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it when it is let go of
            file.unlink()
        held.release()


def refuse_moved(out: Path) -> None:
    """Refuse a folder that is not the one any more in which a file began to be made `alone`: its lock is not there.

    Raises
    ------
    OSError
        If it is so: a disk or a share has gone, and what stands at its place now is none that the reader chose.
    """
    if not os.path.exists(_lock_of(out)):  # which answers of a share that is gone, too
        raise OSError(f"{out.parent} went away while {out.name} was made; see whether its disk is connected.")


def refuse_closed(folder: Path, name: str) -> None:
    """Refuse a folder in which no file can be made; where none can, as in ``/proc``, a lock is never had either.

    Raises
    ------
    ValueError
        If it is one; the sentence names what was to be made there.
    """
    probe = folder / f".{secrets.token_hex(4)}{LOCK}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        raise ValueError(f"No file can be made in {folder}; choose another place for {name}.") from None


def _lock_of(out: Path) -> Path:
    return out.with_name(f".{out.name}{LOCK}")


def keep_finished(done: Path, network: nn.Module, config: TrainingConfig, *, ended_early: bool = False) -> None:
    """Write a trained stage, the settings it was asked for, and whether a reader ended it; whole or not at all."""
    weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    write_tensors(done, {"config": asdict(config), "weights": weights, "ended_early": ended_early})


def finished_in(done: Path, config: TrainingConfig) -> tuple[dict[str, torch.Tensor], bool]:
    """Return the weights of a finished stage, and whether a reader ended its training.

    Raises
    ------
    ValueError
        If it is damaged, or was trained with other settings.
    """
    kept = read_tensors(done)
    if not config.is_as_saved(kept["config"]):
        raise LeftError(f"{done.name} belongs to a training with other settings; give them, or start anew.")
    return kept["weights"], bool(kept.get("ended_early", False))
