"""Marks and signatures: who vouches for what, and when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from napari_covseg.review.audit import Event
from napari_covseg.review.correction import Labels

SIGNED = "This session is signed; open it again to change anything in it."


@dataclass(frozen=True, slots=True)
class Mark:
    """Who reviewed a slice, and when; a marked slice is truth that may be learned.

    Parameters
    ----------
    seen_s
        How long the slice was on screen before; None where nobody kept count.
    labels_sha256
        The fingerprint of the labels (H, W) that are vouched for; empty in a log of an earlier version.
    """

    reader: str
    time_utc: datetime
    seen_s: float | None = None
    labels_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who closed a version of a session, and when.

    Parameters
    ----------
    version
        1 for the first; one more each time it was opened again.
    head
        The hash of the log's last row before the signature: it stands for every row up to there.
    labels_sha256
        The fingerprint of the label map that was signed.
    """

    reader: str
    time_utc: datetime
    version: int = 1
    head: str = ""
    labels_sha256: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"time_utc": self.time_utc.isoformat()}


def fingerprint(values: Labels) -> str:
    """Return the SHA-256 of a label map (D, H, W) in reading order, or of a slice (H, W) of it, in hexadecimal."""
    digest = hashlib.sha256(str(values.shape).encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def mark_of(event: Event) -> Mark:
    """Return the mark that a row tells of."""
    return Mark(event.reader, event.time_utc, event.detail.get("seen_s"), event.detail.get("labels_sha256", ""))


def signature_of(event: Event, version: int) -> Signature:
    """Return the signature that a row tells of."""
    detail = event.detail
    return Signature(event.reader, event.time_utc, version, detail.get("head", ""), detail.get("labels_sha256", ""))


def marks_told(marks: dict[int, Mark]) -> list[list[Any]]:
    """Return marks as JSON has them."""
    return [[index, m.reader, m.time_utc.isoformat(), m.seen_s, m.labels_sha256] for index, m in sorted(marks.items())]


def marks_read(told: Iterable[list[Any]]) -> dict[int, Mark]:
    """Return the marks that `marks_told` told."""
    return {index: Mark(reader, datetime.fromisoformat(time), *rest) for index, reader, time, *rest in told}


def signatures_told(signatures: Iterable[Signature]) -> list[list[Any]]:
    """Return signatures as JSON has them."""
    return [[s.reader, s.time_utc.isoformat(), s.version, s.head, s.labels_sha256] for s in signatures]


def signatures_read(told: Iterable[list[Any]]) -> list[Signature]:
    """Return the signatures that `signatures_told` told."""
    return [Signature(reader, datetime.fromisoformat(time), *rest) for reader, time, *rest in told]
