from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def covseg_data() -> Path:
    """The folder of real chest CT: $COVSEG_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("COVSEG_DATA") or SHARED_DATA)
    if not folder.is_dir():
        pytest.skip(f"no real CT in {folder}; COVSEG_DATA may name another folder")
    return folder


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the developer's own sessions and checkpoints."""
    home = tmp_path / "covseg_home"
    monkeypatch.setenv("COVSEG_HOME", str(home))
    return home
