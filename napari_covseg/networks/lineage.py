"""Where a checkpoint comes from, what came of it, and whether it may take its parent's place.

What the gate of a fine-tuning said travels in the checkpoint itself; what a reader decided against it stands in
``decisions.jsonl`` beside the checkpoints, to which lines are only ever added.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from napari_covseg.io import home
from napari_covseg.networks.checkpoint import OWN_FOLDER, Checkpoint, known

DECISIONS = "decisions.jsonl"

RUN_ENDING = ".run.json"
"""Ends the name of what a fine-tuning is about, beside the child it is to become, until that is there."""

COPIED = "copied"
"""Under which it says when the corrections were copied that are learned, and of which slices of every scan."""

SYNTHETIC_SAMPLE = "synthetic sample"
"""What a card says that was rehearsed where nobody gave older cases; otherwise how many of these.

Their names may be those of patients, and a checkpoint is handed on.
"""


COPIED_UTC = "copied_utc"
"""Where a card's ``config`` says when the corrections were copied that it learned."""


class Decision(BaseModel):
    """What a reader decided about a checkpoint, against its gate: who, why, when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_sha256: str
    promoted: bool
    reader: str
    reason: str
    time_utc: str

    @field_validator("time_utc")
    @classmethod
    def _is_a_time(cls, told: str) -> str:
        datetime.fromisoformat(told)
        return told


@dataclass(frozen=True, slots=True)
class Branch:
    """A checkpoint in the tree of its network: its depth, whether it is promoted, what a reader decided about it."""

    checkpoint: Checkpoint
    depth: int
    promoted: bool
    decision: Decision | None = None

    @property
    def is_overruled(self) -> bool:
        """Whether a reader promoted what its gate held back."""
        return self.decision is not None and self.promoted and not verdict_of(self.checkpoint).get("promoted", True)


def verdict_of(trained: Checkpoint) -> Mapping[str, Any]:
    """Return what the gate said of a fine-tuned checkpoint; empty of any other."""
    found: Mapping[str, Any] = trained.card.metrics.get("gate", {})
    return found


def learned_until(trained: Checkpoint) -> str:
    """Return until when what a reader marked is learned by a fine-tuned checkpoint, in ISO 8601; empty of any other.

    While it learns the reader goes on, and what she marks then is not in it. Older cards know only when it was ready.
    """
    if not trained.card.scans_sha256:
        return ""
    return str(trained.card.config.get(COPIED_UTC, trained.card.created_utc))


def is_promoted(trained: Checkpoint, folder: Path | None = None) -> bool:
    """Whether a checkpoint may take its parent's place: its gate says so, or a reader does; without a gate it may."""
    decided = _decision_on(trained, folder)
    return decided.promoted if decided else not (gate := verdict_of(trained)) or bool(gate.get("promoted", False))


def first(network: str, folder: Path | None = None) -> Checkpoint | None:
    """Return what a network works with until somebody chooses: its first checkpoint that no gate held back."""
    return next((each for each in known(network, folder) if is_promoted(each, folder)), None)


def overrule(
    trained: Checkpoint, reader: str, reason: str, *, promoted: bool = True, folder: Path | None = None
) -> Decision:
    """Decide against a gate, or take that back; the reason is on disk, and was read back, when this returns.

    Raises
    ------
    ValueError
        If no reason is given.
    OSError
        If it cannot be written, and then no part of it is; or if it cannot be read back.
    """
    if not reason.strip():
        raise ValueError("Say in a few words why; the reason is kept with the decision.")
    decision = Decision(
        checkpoint_sha256=trained.sha256,
        promoted=promoted,
        reader=reader,
        reason=reason.strip(),
        time_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = _log(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    _append(path, decision.model_dump_json().encode() + b"\n")
    if decision not in decisions(folder):
        raise OSError(f"The decision could not be read back from {path}; decide again.")
    return decision


def decisions(folder: Path | None = None) -> tuple[Decision, ...]:
    """Return all decisions, the oldest first; a line that is cut or damaged is left out."""
    try:
        lines = _log(folder).read_text("utf-8", errors="replace").split("\n")  # a reason may hold other line ends
    except OSError:
        return ()
    return tuple(_parsed(lines))


def tree(network: str, folder: Path | None = None) -> tuple[Branch, ...]:
    """Return a network's checkpoints as a tree, each parent before its children, the oldest child first.

    A checkpoint whose parent is gone stands at the root.
    """
    every = known(network, folder)
    by_parent: dict[str, list[Checkpoint]] = {}
    at_hand = {each.sha256 for each in every}
    for each in sorted(every, key=lambda one: (not one.is_shipped, one.card.created_utc, one.name)):
        by_parent.setdefault(each.card.parent_sha256 if each.card.parent_sha256 in at_hand else "", []).append(each)

    def branches(parent_sha256: str, depth: int) -> Iterator[Branch]:
        for each in by_parent.get(parent_sha256, []):
            yield Branch(each, depth, is_promoted(each, folder), _decision_on(each, folder))
            yield from branches(each.sha256, depth + 1)

    return tuple(branches("", 0))


def cases_sha256(names: Iterable[str]) -> str:
    """Return the fingerprint of some cases' names, by which a stopped run knows what it rehearsed."""
    return hashlib.sha256(json.dumps(sorted(set(names))).encode()).hexdigest()


def unfinished(scan_sha256: str, folder: Path | None = None) -> Mapping[Path, Mapping[str, Any]]:
    """Return the fine-tunings on one scan alone that were stopped: what each is about, by its child's file.

    ``parent_sha256`` and ``sessions_sha256`` tell whether it may go on: both must be as they were, the latter on the
    slices that `COPIED` names.
    """
    found: dict[Path, Mapping[str, Any]] = {}
    for path in sorted((folder or home()).joinpath(OWN_FOLDER).glob(f"*{RUN_ENDING}")):
        try:
            about = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(about, dict) and about.get("scans_sha256") == [scan_sha256]:
            found[path.with_name(path.name.removesuffix(RUN_ENDING))] = about
    return found


def _decision_on(trained: Checkpoint, folder: Path | None) -> Decision | None:
    decided = [each for each in decisions(folder) if each.checkpoint_sha256 == trained.sha256]
    return decided[-1] if decided else None


def _append(path: Path, line: bytes) -> None:
    """Add a whole line, or none: not to one that was cut, and without leaving a part of it where there is no room."""
    with path.open("a+b", buffering=0) as log:
        length = log.seek(0, os.SEEK_END)
        log.seek(max(0, length - 1))
        is_cut = log.read(1) not in (b"", b"\n")
        whole = b"\n" + line if is_cut else line
        written = log.write(whole)
        if written != len(whole):
            if log.seek(0, os.SEEK_END) == length + written:  # nobody else added to it
                log.truncate(length)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(log.fileno())


def _log(folder: Path | None) -> Path:
    return (folder or home()) / OWN_FOLDER / DECISIONS


def _parsed(lines: Sequence[str]) -> Iterator[Decision]:
    for line in lines:
        try:
            yield Decision.model_validate(json.loads(line))
        except (json.JSONDecodeError, ValidationError):
            continue
