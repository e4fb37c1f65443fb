"""A small scan, its session, a hand that paints, and scenes for the tools."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_covseg.review import ReviewSession, Scene
from napari_covseg.volume import Geometry, Volume

SHAPE = (6, 8, 10)  # in the file's own order: L P S, so ten slices


@pytest.fixture
def scan():
    rng = np.random.default_rng(0)
    affine = np.diag([-0.7, -0.7, 2.0, 1.0])
    return Volume(rng.integers(-1000, 400, SHAPE, dtype=np.int16), Geometry(SHAPE, affine), "case_ct")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "session"


@pytest.fixture
def session(scan, folder):
    session = ReviewSession.begin(folder, scan, "Dr A")
    yield session
    session.close()


@pytest.fixture
def paint():
    def stroke(session, index, value=1, column=0):
        values = session.labels.values.copy()
        values[index, 2:4, column : column + 2] = value
        return session.absorb(values, "brush", f"brush on slice {index + 1}")

    return stroke


@pytest.fixture
def left_by_a_crash(tmp_path):
    """What a crash right now would leave of a session, in a folder of its own."""

    def copied(session):
        copy = tmp_path / f"crashed-{session.journal.last}"
        copy.mkdir()
        for file in session.folder.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        return copy

    return copied


@pytest.fixture
def tamper():
    """Change the journal of a folder behind the session's back; returns the folder."""

    def change(folder: Path, statement: str, values: tuple[Any, ...] = ()) -> Path:
        with closing(sqlite3.connect(folder / "session.sqlite", isolation_level=None)) as connection:
            connection.execute(statement, values)
        return folder

    return change


def geometry_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Geometry:
    """A grid in reading order: down the patient, to the back, to the patient's left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = (-mm for mm in spacing_mm)
    affine[3, 3] = 1
    return Geometry(shape, affine)


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """A scene of any shape and spacing; labels, HU and lungs start empty, at −500, and unknown."""

    def make(
        shape: tuple[int, int, int] = (7, 20, 24),
        spacing_mm: tuple[float, float, float] = (3.0, 1.0, 2.0),
        labels: Any = None,
        hu: Any = None,
        lung: Any = None,
    ) -> Scene:
        labels = np.zeros(shape, np.uint8) if labels is None else np.asarray(labels, np.uint8)
        hu = np.full(labels.shape, -500, np.int16) if hu is None else hu
        return Scene(labels, Volume(hu, geometry_of(labels.shape, spacing_mm)), lung)

    return make


@pytest.fixture
def after() -> Callable[..., Any]:
    """The label map after a correction, which must have been made on it, over the smallest box, and not written yet."""

    def apply(scene: Scene, correction: Any) -> Any:
        values = scene.labels.copy()
        if correction is None:
            return values
        assert correction.title
        assert correction.tool
        correction.applied_to(values)
        changed = np.argwhere(values != scene.labels)
        assert correction.start == tuple(changed.min(axis=0))
        assert correction.before.shape == tuple(np.ptp(changed, axis=0) + 1)
        return values

    return apply
