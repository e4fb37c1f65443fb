"""A small scan, its session, and a hand that paints."""

from __future__ import annotations

import numpy as np
import pytest

from napari_covseg.review import ReviewSession
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
