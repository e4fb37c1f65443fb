"""The log as an audit trail: every row is sealed with a hash over itself and the row before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

Kind = Literal["correction", "undo", "redo", "mark", "unmark", "restore", "sign", "reopen", "recovery", "upgrade"]

GENESIS = bytes(32)
"""What stands for the row before the first one."""


class Row(NamedTuple):
    """One row as it stands on disk; the hash covers all before it, and the payload through its own hash."""

    seq: int
    time_utc: str
    reader: str
    kind: str
    detail: str
    payload_sha256: bytes
    previous: bytes
    hash: bytes
    payload: bytes | None

    def seal(self) -> bytes:
        """Return the hash that this row must carry."""
        told = (str(self.seq), *self[1:5], self.payload_sha256.hex(), self.previous.hex())
        return hashlib.sha256("".join(f"{len(each)}:{each}" for each in told).encode()).digest()

    @property
    def is_whole(self) -> bool:
        """Whether the row is as it was written; a payload that was compacted away is not asked for."""
        try:
            return self.seal() == self.hash and (self.payload is None or self.has_its_payload)
        except (TypeError, AttributeError):  # a column that holds another type than was written
            return False

    @property
    def has_its_payload(self) -> bool:
        """Whether the payload is there, or never was, and is the one that was written."""
        return hashlib.sha256(self.payload or b"").digest() == self.payload_sha256


@dataclass(frozen=True, slots=True)
class Event:
    """One row, read: its number, when, who, what, its details, and whether its voxels are still at hand."""

    seq: int
    time_utc: datetime
    reader: str
    kind: Kind
    detail: dict[str, Any]
    hash: bytes
    has_payload: bool


def read(row: Row) -> Event:
    """Return what a row says.

    Raises
    ------
    ValueError
        If it is no row of ours.
    """
    kind: Any = row.kind
    time_utc = datetime.fromisoformat(row.time_utc)
    return Event(row.seq, time_utc, row.reader, kind, json.loads(row.detail), row.hash, row.payload is not None)


def written(seq: int, previous: bytes, reader: str, kind: Kind, detail: dict[str, Any], payload: bytes | None) -> Row:
    """Return the row that goes on the chain now."""
    text = json.dumps(detail, sort_keys=True, default=list)
    return sealed(seq, previous, (datetime.now(UTC).isoformat(), reader, kind, text), payload)


def sealed(seq: int, previous: bytes, told: tuple[str, str, str, str], payload: bytes | None) -> Row:
    """Return the row of what is told (time, reader, kind, details), sealed."""
    row = Row(seq, *told, hashlib.sha256(payload or b"").digest(), previous, b"", payload)
    return row._replace(hash=row.seal())


Ranges = tuple[tuple[int, int], ...]


def missing(present: Iterable[int], last: int, known: Ranges = ()) -> Ranges:
    """Return the first and last number of every gap among the rows 1 … `last` that is not known yet."""
    there = set(present).union(*(range(low, high + 1) for low, high in known))
    gaps: list[tuple[int, int]] = []
    for seq in sorted(set(range(1, last + 1)) - there):
        if gaps and gaps[-1][1] == seq - 1:
            gaps[-1] = (gaps[-1][0], seq)
        else:
            gaps.append((seq, seq))
    return tuple(gaps)


def accounted(events: Iterable[Event]) -> Ranges:
    """Return the gaps that earlier recoveries found and wrote into the log."""
    return tuple((low, high) for e in events if e.kind == "recovery" for low, high in e.detail.get("missing", ()))


def is_chained(rows: Sequence[Row], known: Ranges) -> bool:
    """Whether every row carries on from the one before it, save across gaps that are known."""
    heads = {high + 1 for _, high in known}
    previous = GENESIS
    for row in rows:
        if row.previous != previous and row.seq not in heads:
            return False
        previous = row.hash
    return True


def known_bare(events: Iterable[Event]) -> frozenset[int]:
    """Return the rows of which earlier recoveries found that their voxels are gone, and wrote it into the log."""
    return frozenset(seq for e in events if e.kind == "recovery" for seq in e.detail.get("bare", ()))
