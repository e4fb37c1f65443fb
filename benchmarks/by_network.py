"""Small JSON files of what was measured of each network, kept among the outcomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_covseg.io.files import written


def kept(file: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured, by network; nothing of a file that is not there.

    Raises
    ------
    SystemExit
        If the file is damaged.
    """
    try:
        found: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    except ValueError:
        raise SystemExit(f"{file.name} is damaged; put it back from the history, or name another --outcomes.") from None
    return found


def keep(file: Path, network: str, found: Mapping[str, Any]) -> None:
    """Add what was measured of one network."""
    told = {**kept(file), network: dict(found)}
    with written(file) as draft:
        draft.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
