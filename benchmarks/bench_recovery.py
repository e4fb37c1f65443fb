"""Kill reviews at random moments and cut journals at random bytes, and count what is lost.

``python benchmarks/bench_recovery.py --json``. A child process works through a script of corrections, runs of a
network, undos, redos and marks, and tells each through a pipe once the call has returned; it is killed with SIGKILL,
also while it opens or recovers. What it left behind is compared with a model of the script that knows no sessions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import struct
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_covseg.review import ReviewSession, history, keeping
from napari_covseg.volume import Geometry, Volume

SHAPE = (12, 64, 48)  # slices, rows, columns, in reading order
LIVES = 8
JOURNAL, LOG = "session.sqlite", "session.sqlite-wal"
ACK = struct.Struct("<I?")

Action = tuple[Any, ...]


def main() -> None:
    """Kill, cut, print."""
    asked = _arguments()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        killed = _killed(Path(folder), asked.kills, asked.seed)
        cut = _cut(Path(folder), asked.cuts, asked.seed)
    report = {
        "kills": killed["kills"],
        "cuts": cut["cuts"],
        "lost_acknowledged_corrections": killed["lost_acknowledged"],
        "silent_losses": cut["silent_losses"],
        "unopenable_sessions": killed["unopenable"] + cut["unopenable"],
        "details": {
            "acknowledged": killed["acknowledged"],
            "wrong_label_maps_after_a_kill": killed["wrong"],
            "kills_while_opening": killed["while_opening"],
            "rows_before_a_cut_that_were_lost": cut["lost_before_the_cut"],
            "cuts_that_cost_rows": cut["with_rows_lost"],
            "cuts_that_cost_labels": cut["with_labels_lost"],
            "seed": asked.seed,
            "seconds": round(time.perf_counter() - started, 1),
        },
    }
    print(json.dumps(report, indent=None if asked.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _scan() -> Volume:
    """Return a scan whose own order is the reading order."""
    affine = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    hu = np.random.default_rng(0).integers(-1000, 400, SHAPE, dtype=np.int16)
    return Volume(hu, Geometry(SHAPE, affine), "killed_ct")


def _script(seed: int) -> Iterator[Action]:
    """Yield what the reader does, for ever; a run of a network is one action per slice."""
    rng = np.random.default_rng(seed)
    depth, height, width = SHAPE
    kinds, shares = ("paint", "run", "undo", "redo", "mark"), (0.6, 0.06, 0.14, 0.1, 0.1)
    run = 0
    while True:
        kind = rng.choice(kinds, p=shares)
        index = int(rng.integers(depth))
        if kind == "paint":
            top, left = int(rng.integers(height - 8)), int(rng.integers(width - 8))
            yield "paint", index, top, left, int(rng.integers(5))
        elif kind == "run":
            run += 1
            for each in range(index, min(index + 4, depth)):
                yield "run", each, rng.integers(0, 4, (height, width), dtype=np.uint8), f"{seed}-{run}"
        else:
            yield str(kind), index


def _do(session: ReviewSession, action: Action) -> bool:
    """Do one action; return whether anything came of it."""
    kind, index, *rest = action
    if kind == "paint":
        values = session.labels.values.copy()
        values[index, rest[0] : rest[0] + 8, rest[1] : rest[1] + 8] = rest[2]
        return session.absorb(values, "brush", f"brush on slice {index + 1}") is not None
    if kind == "run":
        return session.propose(index, rest[0], "network", rest[1]) is not None
    if kind == "mark":
        session.mark_reviewed(index)
        return True
    return session.undo() if kind == "undo" else session.redo()


@dataclass
class Model:
    """What the script comes to, in a few lines of NumPy.

    A step takes the mark of its slice; undone, or redone, it gives back what it took when it went the other way.
    """

    values: Any = field(default_factory=lambda: np.zeros(SHAPE, np.uint8))
    done: list[tuple[str, int, Any, Any, int]] = field(default_factory=list)
    undone: list[tuple[str, int, Any, Any, int]] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)
    taken: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    steps: int = 0

    def do(self, action: Action, came_of_it: bool) -> None:
        """Do one action; with a step its mark goes or comes back, or nothing happens at all."""
        kind, index, *rest = action
        if not came_of_it:
            return
        if kind == "mark":
            self.marks.add(index)
        elif kind in ("paint", "run"):
            before = self.values[index].copy()
            if kind == "paint":
                self.values[index, rest[0] : rest[0] + 8, rest[1] : rest[1] + 8] = rest[2]
            else:
                self.values[index] = rest[0]
            if np.array_equal(before, self.values[index]):
                return
            group = rest[1] if kind == "run" else ""
            self.steps += 1
            self.done.append((group, index, before, self.values[index].copy(), self.steps))
            self.undone.clear()
            self._take("redo", self.steps, index)
        else:
            self.marks |= self._step(kind)

    def _step(self, kind: str) -> set[int]:
        """Move the last step, and those of its group; return the marks that are owed for them."""
        source, target = (self.done, self.undone) if kind == "undo" else (self.undone, self.done)
        group, owed = source[-1][0] if source else "", set()
        while source:
            target.append(source.pop())
            _, index, before, after, step = target[-1]
            self.values[index] = before if kind == "undo" else after
            self._take(kind, step, index)
            owed |= self.taken.get(("redo" if kind == "undo" else "undo", step), set())
            if not group or not source or source[-1][0] != group:
                break
        return owed

    def _take(self, kind: str, step: int, index: int) -> None:
        self.taken[kind, step] = self.marks & {index}
        self.marks.discard(index)

    def copy(self) -> Model:
        """Return a model that goes its own way from here."""
        lists = (list(self.done), list(self.undone), set(self.marks), dict(self.taken))
        return Model(self.values.copy(), *lists, self.steps)

    def is_in(self, session: ReviewSession) -> bool:
        """Whether a session holds just this."""
        return np.array_equal(self.values, session.labels.values) and self.marks == set(session.marks)


@dataclass(frozen=True)
class Life:
    """One child: what it does, how long it has, from its start or from its first word, and how soon it compacts."""

    seed: int
    wait_s: float
    is_let_open: bool
    compacts_soon: bool


def _killed(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill reviews; a session lives through several."""
    counted: Counter[str] = Counter(kills=0)
    rng = np.random.default_rng(seed)
    number = 0
    while counted["kills"] < kills:
        session, model = folder / f"session-{number}", Model()
        for each in range(min(LIVES, kills - counted["kills"])):
            wait_s, is_let_open = float(rng.exponential(0.3)), bool(rng.random() < 0.8)
            made = _one_life(session, Life(1000 * number + each, wait_s, is_let_open, number % 2 == 1), model, counted)
            counted["kills"] += 1
            if made is None:
                break
            model = made
        shutil.rmtree(session, ignore_errors=True)
        number += 1
    return counted


def _one_life(folder: Path, life: Life, model: Model, counted: Counter[str]) -> Model | None:
    """Let a child review until it is killed; return the model of what is there then, None where that cannot be told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _review(folder, life, writing)
    os.close(writing)
    said = os.read(reading, ACK.size) if life.is_let_open else b""
    time.sleep(life.wait_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said += pipe.read()
    if not os.WIFSIGNALED(status):  # it ended by itself: it could not open or go on
        counted["unopenable"] += 1
        return None
    acknowledged = [ACK.unpack_from(said, at) for at in range(ACK.size, len(said) - ACK.size + 1, ACK.size)]
    counted["acknowledged"] += len(acknowledged)
    counted["while_opening"] += not said
    return _compared(folder, life.seed, [came for _, came in acknowledged], model, counted)


def _review(folder: Path, life: Life, writing: int) -> None:
    """Be the child: review until killed. Never returns."""
    try:
        if life.compacts_soon:
            keeping.SNAPSHOT_AFTER, keeping.SNAPSHOT_AT_LAST_AFTER, history.UNDO_STEPS = 10, 25, 12
        session = ReviewSession.begin(folder, _scan(), "killed")
        os.write(writing, ACK.pack(0, True))
        for number, action in enumerate(_script(life.seed), start=1):
            os.write(writing, ACK.pack(number, _do(session, action)))
    except Exception:  # noqa: BLE001 - told, and counted by the parent
        traceback.print_exc()
    finally:
        os._exit(1)


def _compared(folder: Path, seed: int, came: list[bool], model: Model, counted: Counter[str]) -> Model | None:
    """Open a copy of what the child left, so that the next child has to recover the original itself."""
    if not folder.exists():
        return model
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    try:
        session = ReviewSession.begin(copy, _scan(), "checker")
    except (ValueError, OSError):
        counted["unopenable"] += 1
        return None
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    states = [model]
    script = _script(seed)
    for came_of_it in came:
        states.append(states[-1].copy())
        states[-1].do(next(script), came_of_it)
    in_flight = states[-1].copy()
    in_flight.do(next(script), came_of_it=True)
    newest_first = [states[-1], in_flight, *states[-2::-1]]
    at = next((n for n, state in enumerate(newest_first) if state.is_in(session)), None)
    session.journal.close()
    if at is None:
        counted["wrong"] += 1
    counted["lost_acknowledged"] += 1 if at is None else max(0, at - 1)
    return None if at is None else newest_first[at]


@dataclass(frozen=True)
class Base:
    """A whole session to cut: its files, the bytes that tell of each row, and its label map."""

    files: dict[str, bytes]
    rows: dict[int, tuple[bytes, bytes]]
    labels: int
    log_used: int


def _cut(folder: Path, cuts: int, seed: int) -> Counter[str]:
    """Cut copies of a few sessions at random bytes and open them."""
    counted: Counter[str] = Counter(cuts=0)
    bases = [base for number in range(6) for base in _bases(folder / f"base-{number}", number, seed)]
    rng = np.random.default_rng(seed)
    for number in range(cuts):
        base = bases[number % len(bases)]
        lengths = {JOURNAL: len(base.files[JOURNAL]), LOG: base.log_used}
        name = LOG if LOG in base.files and rng.random() < 0.6 else JOURNAL
        _open_cut(folder / f"cut-{number}", base, name, int(rng.integers(lengths[name])), counted)
        counted["cuts"] += 1
    return counted


def _bases(folder: Path, number: int, seed: int) -> Iterator[Base]:
    """Yield one session as it is while it is open, and as it is after it was closed; some are long, some compacted."""
    usual = keeping.SNAPSHOT_AFTER, keeping.SNAPSHOT_AT_LAST_AFTER, history.UNDO_STEPS
    if number % 2:
        keeping.SNAPSHOT_AFTER, keeping.SNAPSHOT_AT_LAST_AFTER, history.UNDO_STEPS = 20, 50, 12
    script = _script(seed + number)
    session = ReviewSession.begin(folder, _scan(), "cut")
    for part in range(2):
        for _ in range((30, 30, 80, 80, 250, 250)[number]):
            _do(session, next(script))
        yield _base(session)
        if part == 0:
            session.close()
            yield _base(session)
            session = ReviewSession.begin(folder, _scan(), "cut")
    session.close()
    keeping.SNAPSHOT_AFTER, keeping.SNAPSHOT_AT_LAST_AFTER, history.UNDO_STEPS = usual


def _base(session: ReviewSession) -> Base:
    files = {file.name: file.read_bytes() for file in session.folder.iterdir() if file.is_file()}
    previous, rows = bytes(32), {}
    for event in session.trail:
        rows[event.seq] = (previous + event.hash, event.time_utc.isoformat().encode())
        previous = event.hash
    used = len(files.get(LOG, b"").rstrip(b"\0"))
    return Base(files, rows, zlib.crc32(session.labels.values.tobytes()), used)


def _open_cut(folder: Path, base: Base, name: str, at: int, counted: Counter[str]) -> None:
    folder.mkdir()
    for file, content in base.files.items():
        (folder / file).write_bytes(content[:at] if file == name else content)
    left = b"".join((folder / file).read_bytes() for file in (JOURNAL, LOG) if (folder / file).exists())
    try:
        session = ReviewSession.resume(folder, "checker")
    except (ValueError, OSError):
        counted["unopenable"] += 1
        return
    found = {
        event.seq for event in session.trail if event.seq in base.rows and base.rows[event.seq][0][32:] == event.hash
    }
    before = {seq for seq, told in base.rows.items() if all(each in left for each in told)}
    labels_lost = zlib.crc32(session.labels.values.tobytes()) != base.labels
    rows_lost = bool(base.rows.keys() - found)
    is_said = any("damaged" in note for note in session.notes)
    counted["lost_before_the_cut"] += len(before - found)
    counted["with_rows_lost"] += rows_lost
    counted["with_labels_lost"] += labels_lost
    counted["silent_losses"] += (rows_lost or labels_lost) and not is_said
    session.close()
    with suppress(OSError):
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
