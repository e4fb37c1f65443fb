"""What the command line's tests share: a runner, a random checkpoint, small scans."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.networks import Checkpoint

LPS_MM = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 5.0, -50], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Said:
    """What a call printed, and its exit code."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def covseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run `covseg` in this process."""
    from napari_covseg.cli import main

    def run(*words: object) -> Said:
        status = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return run


@pytest.fixture
def own_checkpoint(untrained: Checkpoint, no_weights: None) -> str:
    """The name of the one checkpoint there is: random weights, among the reader's own."""
    return untrained.name


def _write_scan(path: Path, shape: tuple[int, int, int] = (24, 20, 6), affine: Any = LPS_MM) -> Path:
    """A box of lung in a box of body, with one dense spot."""
    rng = np.random.default_rng(5)
    hu = np.full(shape, -1000, dtype=np.int16)
    hu[2:-2, 2:-2] = 40
    hu[5:-5, 5:-5] = -850
    hu[8:12, 8:12, 2:4] = -300
    hu += rng.integers(-20, 20, shape, dtype=np.int16)
    hu[0, 0, 0], hu[-3:, -3:, -1] = -1024, 900
    nib.save(nib.Nifti1Image(hu, affine), path)
    return path


def _write_mask(path: Path, values: Any, affine: Any = LPS_MM) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=np.uint8), affine), path)
    return path


@pytest.fixture
def write_scan() -> Callable[..., Path]:
    return _write_scan


@pytest.fixture
def write_mask() -> Callable[..., Path]:
    return _write_mask


@pytest.fixture
def lps_mm() -> Any:
    """The affine of what the two above write."""
    return LPS_MM


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    (tmp_path / "pacs" / "today").mkdir(parents=True)  # deep enough that what other tests left beside is not near
    return _write_scan(tmp_path / "pacs" / "today" / "case_ct.nii.gz")


@pytest.fixture
def session(scan: Path, tmp_path: Path) -> Path:
    """A review session of the scan: a spot of ground glass, two reviewed slices, let go of again."""
    from napari_covseg.io import read_volume
    from napari_covseg.review import ReviewSession

    folder = tmp_path / "session"
    session = ReviewSession.begin(folder, read_volume(scan), "reader", scan)
    values = session.labels.values.copy()
    values[2:4, 8:12, 8:12] = 1
    session.absorb(values, "brush", "Brush")
    for index in (2, 3):
        session.mark_reviewed(index)
    session.close()
    return folder
