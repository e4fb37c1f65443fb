from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow  # a minute, in a window of its own
def test_the_windows_demo_does_the_whole_job(tmp_path):
    command = [sys.executable, "-m", "napari_covseg.widgets", "--demo", "--out", str(tmp_path), "--close"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    written = {path.name for path in tmp_path.iterdir()}
    assert {"05_learn.png", "06_export.png", "sample_lesion.nii.gz", "millilitres.csv"} <= written
