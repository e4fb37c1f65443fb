"""Names that stand for patients, readers and scans: the same each time, and told by nobody but this installation."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection

from napari_covseg.io.cases import Case
from napari_covseg.io.files import home, written
from napari_covseg.volume import Volume

KEY_FILE = "bundle.key"
KEY_BYTES = 32
OF_THIS_RUN = secrets.token_bytes(KEY_BYTES)
"""Stands in for the installation's key where that can be neither read nor made."""

PSEUDONYM = re.compile(r"patient-[0-9a-f]{16}")


def own_key() -> bytes:
    """Return this installation's key, made when it is first needed; without it nobody can tell whose a name is.

    Raises
    ------
    ValueError
        If the file is damaged: names made with another key would not be the same.
    OSError
        If it can be neither read nor written.
    """
    path = home() / KEY_FILE
    if not path.exists():
        with written(path) as draft:
            draft.write_bytes(secrets.token_bytes(KEY_BYTES))
            draft.chmod(0o600)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} is damaged; put it back from a backup, or remove it, and patients get new names.")
    return key


def key_to_learn_with() -> bytes:
    """Return the installation's key, or one of this run alone where that cannot be had: learning needs no more."""
    try:
        return own_key()
    except OSError:
        return OF_THIS_RUN


def pseudonym(what: str, who: str, key: bytes | None = None) -> str:
    """Return a name for somebody or something, made with this installation's key if none is given."""
    digest = hmac.new(own_key() if key is None else key, f"{what} {who}".encode(), hashlib.sha256).hexdigest()
    return f"{what}-{digest[:16]}"


def patient_of(scan: Volume, scan_sha256: str, key: bytes | None = None) -> str:
    """Return whose scan it is: the same of all scans that state one patient's number, else of this scan alone."""
    return pseudonym("patient", scan.patient_sha256 or scan_sha256, key)


def is_among(patient: str, names: Collection[str]) -> bool:
    """Whether a patient of ``cases.json`` is among some names, by that name or by what stands for it here."""
    if patient in names:
        return True
    if not any(map(PSEUDONYM.fullmatch, names)) or not (home() / KEY_FILE).exists():
        return False
    return pseudonym("patient", patient, key_to_learn_with()) in names


def patient_of_case(case: Case) -> str:
    """Return whose an annotated case is, empty where nobody said; of names, since they are kept, a bundle's alone."""
    if not case.is_patient_stated:
        return ""
    named = PSEUDONYM.fullmatch(case.patient)
    return case.patient if named else pseudonym("patient", case.patient, key_to_learn_with())
