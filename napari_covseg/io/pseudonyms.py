"""Names that stand for patients, readers and scans: the same each time, and told by nobody but this installation."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from napari_covseg.io.files import home, written
from napari_covseg.volume import Volume

KEY_FILE = "bundle.key"


def own_key() -> bytes:
    """Return this installation's key, made when it is first needed; without it nobody can tell whose a name is."""
    path = home() / KEY_FILE
    if not path.exists():
        with written(path) as draft:
            draft.write_bytes(secrets.token_bytes(32))
            draft.chmod(0o600)
    return path.read_bytes()


def pseudonym(what: str, who: str, key: bytes | None = None) -> str:
    """Return a name for somebody or something, made with this installation's key if none is given."""
    digest = hmac.new(own_key() if key is None else key, f"{what} {who}".encode(), hashlib.sha256).hexdigest()
    return f"{what}-{digest[:16]}"


def patient_of(scan: Volume, scan_sha256: str, key: bytes | None = None) -> str:
    """Return whose scan it is: the same of all scans that state one patient's number, else of this scan alone."""
    return pseudonym("patient", scan.patient_sha256 or scan_sha256, key)
