"""The rows that are left of a damaged journal: those that verify, on one chain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_covseg.review import audit, salvage
from napari_covseg.review.audit import Row


def left_of(file: Path, log: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows that can still be read, in order, and the facts about the session.

    Parameters
    ----------
    file, log
        The damaged journal and its write-ahead log; either may be missing.
    """
    rows: dict[int, dict[bytes, Row]] = {}
    about: dict[str, Any] = {}
    older: dict[tuple[Any, ...], None] = {}
    for seq, columns in salvage.records(_bytes(file), _bytes(log)):
        with suppress(ValueError, TypeError, AttributeError):
            if len(columns) == len(Row._fields):
                _sort_in(Row(seq, *columns[1:]), rows.setdefault(seq, {}))
            elif len(columns) == 6:
                audit.read(audit.sealed(seq, audit.GENESIS, (*columns[1:5],), columns[5]))
                older[columns[1:]] = None
            elif len(columns) == 2:
                about[str(columns[0])] = json.loads(columns[1])
    return _linked(rows) or _sealed(sorted(older, key=lambda told: str(told[0]))), about


def _sort_in(row: Row, those: dict[bytes, Row]) -> None:
    row = row if row.has_its_payload else row._replace(payload=None)
    if row.is_whole and (row.hash not in those or those[row.hash].payload is None):
        audit.read(row)
        those[row.hash] = row


def _linked(candidates: Mapping[int, Mapping[bytes, Row]]) -> list[Row]:
    """Return one row per number: where pages that were given up hold others too, the one the next row carries on."""
    chosen: list[Row] = []
    for seq in sorted(candidates, reverse=True):
        there = candidates[seq]
        if chosen and chosen[-1].seq == seq + 1:
            there = {digest: row for digest, row in there.items() if digest == chosen[-1].previous}
        chosen.extend(list(there.values())[-1:])
    return chosen[::-1]


def _sealed(older: Iterable[Sequence[Any]]) -> list[Row]:
    """Return the rows of a journal of version 1, on a chain."""
    rows: list[Row] = []
    for seq, (*told, payload) in enumerate(older, start=1):
        previous = rows[-1].hash if rows else audit.GENESIS
        rows.append(audit.sealed(seq, previous, (told[0], told[1], told[2], told[3]), payload))
    return rows


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
