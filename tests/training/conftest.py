"""What the tests of training share: stacks in memory, and annotated cases on disk, small and made by a seed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.training.stacks import HEALTHY_LUNG, Stack

FULL = frozenset({"ggo", "consolidation", "effusion"})


def _stack(labels: Any, annotated: Any = FULL, case: str = "a", patient: str = "p", **regions: Any) -> Stack:
    """A stack whose grey tells its labels apart: 40 for each step of the label."""
    labels = np.asarray(labels, np.uint8)
    rng = np.random.default_rng(0)
    grey = (np.minimum(labels, 6) * 40 + rng.integers(0, 10, labels.shape)).astype(np.uint8)
    return Stack(grey, labels, frozenset(annotated), case, patient, regions)


@pytest.fixture
def make_stack() -> Callable[..., Stack]:
    return _stack


@pytest.fixture
def squares() -> list[Stack]:
    """Three patients with two slices each; a square of healthy lung in each, and in some a lesion."""
    stacks = []
    for index in range(6):
        labels = np.zeros((1, 48, 48), np.uint8)
        labels[0, 8:40, 8:40] = HEALTHY_LUNG
        labels[0, 16:32, 16:32] = index % 4 or HEALTHY_LUNG
        stacks.append(_stack(labels, FULL | {"lung"}, f"c{index}", f"p{index % 3}"))
    return stacks


def _write_case(
    folder: Path, name: str, hu: Any, labels: Any, lung: Any = None, spacing: Any = (5, 2, 2), **entry: Any
) -> None:
    """Write a scan given in reading order (slices, rows, columns), and its line in cases.json."""
    folder.mkdir(exist_ok=True, parents=True)
    depth_mm, row_mm, column_mm = spacing
    affine = np.diag([-float(column_mm), -float(row_mm), float(depth_mm), 1.0])  # L P S: slices upside down
    for part, values in {"ct": np.asarray(hu, np.int16), "lesion": labels, "lung": lung}.items():
        if values is not None:
            kind = np.int16 if part == "ct" else np.uint8
            voxels = np.asarray(values, kind)[::-1].T
            nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}_{part}.nii.gz")
    _enter(folder, name, entry)


def _write_picture(folder: Path, name: str, grey: Any, labels: Any, lung: Any = None, **entry: Any) -> None:
    """Write a picture of a slice, and its line in cases.json."""
    folder.mkdir(exist_ok=True, parents=True)
    for part, values in {"image": grey, "label": labels, "lung": lung}.items():
        if values is not None:
            imageio.imwrite(folder / f"{name}_{part}.png", np.asarray(values, np.uint8))
    _enter(folder, name, entry)


def _enter(folder: Path, name: str, entry: dict[str, Any]) -> None:
    listed = folder / "cases.json"
    entries = json.loads(listed.read_text()) if listed.exists() else {}
    listed.write_text(json.dumps({**entries, name: entry}))


@pytest.fixture
def write_case() -> Callable[..., None]:
    return _write_case


@pytest.fixture
def write_picture() -> Callable[..., None]:
    return _write_picture


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A patient with every lesion and a lung, one with effusion alone, and two pictures of a third."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "cases"
    labels = np.zeros((4, 40, 44), np.uint8)
    lung = np.zeros_like(labels)
    lung[:, 8:32, 8:36] = 1
    labels[1:3, 12:16, 12:16], labels[1:3, 20:24, 12:18], labels[1:3, 24:28, 24:32] = 1, 2, 3
    hu = np.where(lung, -850, 40) + np.where(labels, 500, 0) + rng.integers(-20, 20, labels.shape)
    _write_case(folder, "m1", hu, labels, lung, patient="m1", slices=[2, 3], annotated=[*sorted(FULL), "lung"])
    _write_case(folder, "e1", hu, np.where(labels == 3, 3, 0), patient="e1", slices=[3], annotated=["effusion"])
    for number in (1, 2):
        infected = np.where(np.isin(labels[number], (1, 2)), 4, 0)
        grey = np.clip((hu[number] + 1000) / 1400 * 255, 0, 255)
        entry = {"patient": "c1", "annotated": ["infection", "lung"]}
        _write_picture(folder, f"c1-{number}", grey, infected, lung[number], **entry)
    return folder


@pytest.fixture(scope="session")
def small_training() -> Any:
    """The program of that name, as a module."""
    path = Path(__file__).with_name("small_training.py")
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
