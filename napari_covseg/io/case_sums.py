"""Which annotated cases these are, told by what is in them: other cases may have the same names, and a folder moves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_covseg.io import packs
from napari_covseg.io.cases import Case

TAIL_BYTES = 4096
"""So much of a file's end tells its content from another's of the same size: a gzip file ends with the checksum of all
that it unpacks to, and so does the last part of a PNG's pixels."""


def contents_sha256(cases: Sequence[Case]) -> str:
    """Return the fingerprint of some cases in their order: their files, and all that is said of them.

    Of every file no more is read than its end, and of a pack its list of checksums, so that some hundred cases take a
    fraction of a second. A folder may be moved or called otherwise: of a case of which nobody said whose it is, that
    it is of one patient with others here is all that counts.

    Raises
    ------
    OSError
        If a file is gone.
    """
    patients = sorted({case.patient for case in cases})
    told = [[*_said_of(case), patients.index(case.patient), _content(case)] for case in cases]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _said_of(case: Case) -> list[Any]:
    patient = case.patient if case.is_patient_stated else None
    return [case.name, sorted(case.annotated), patient, case.slices and sorted(case.slices)]


def _content(case: Case) -> list[Any]:
    pack, member = case.image.parent.parent, case.image.parent.name
    if packs.is_pack(pack):
        said = packs.entry_of(pack, member).model_dump(mode="json", exclude={"member"})
        return [said, packs.checksums(pack, member)]
    return [None if path is None else _end_of(path) for path in (case.image, case.labels, case.lung)]


def _end_of(path: Path) -> tuple[int, str]:
    """Return a file's size, and the fingerprint of its last bytes."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return size, hashlib.sha256(file.read()).hexdigest()
