"""What the bench asks and tells when a scan is opened."""

from __future__ import annotations

import shutil

import pytest

from napari_covseg.io import Stated, UnstatedError
from napari_covseg.io.stated import kept_in
from napari_covseg.workbench import Workbench
from tests.io.series import all_slices, series_in


@pytest.fixture
def bench(isolated_home):
    made = Workbench()
    yield made
    made.close()


def opened(bench, path, stated=None):
    run = bench.open(path, stated) if stated else bench.open(path)
    bench.runner.wait(run)
    return bench.current


def test_the_reader_is_asked_what_is_missing_and_the_answer_opens_the_scan(bench, tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    series_in(folder, series_uid="1.2.3.2222", count=3)
    asked = []
    bench.asked.connect(lambda *question: asked.append(question))
    assert opened(bench, folder) is None
    ((path, stated, error),) = asked
    assert (path, stated) == (folder, Stated())
    assert isinstance(error, UnstatedError)
    scan = opened(bench, folder, Stated(series=error.series[1].uid))
    assert scan.session.geometry.shape[0] == 3


def test_what_was_stated_is_kept_beside_the_session(bench, tmp_path):
    stated = Stated(spacing_mm=(0.7, 0.7, 5.0))
    opened(bench, series_in(tmp_path / "lost", all_slices(ImagePositionPatient=None)), stated)
    (session,) = (bench.folder / "sessions").iterdir()
    assert kept_in(session) == stated


def test_what_was_repaired_is_told(bench, tmp_path):
    folder = series_in(tmp_path / "case")
    shutil.copy(next(folder.iterdir()), folder / "copy.dcm")
    told = []
    bench.said.connect(told.append)
    assert opened(bench, folder) is not None
    assert "there twice and were left out once" in told[-1]
