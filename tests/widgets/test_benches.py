from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_covseg.networks import Checkpoint
from napari_covseg.review import ReviewSession
from napari_covseg.widgets.benches import desk_of
from napari_covseg.workbench import SegmentRequest

from .conftest import write_scan

CTRL = Qt.KeyboardModifier.ControlModifier


def compute_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "covseg-compute" and thread.is_alive()]


def test_two_viewers_have_two_benches(make_napari_viewer: Any) -> None:
    first, second = make_napari_viewer(), make_napari_viewer()
    assert desk_of(first).bench is desk_of(first).bench
    assert desk_of(first).bench is not desk_of(second).bench


def test_the_proxy_that_napari_hands_to_plugins_has_the_same_bench(make_napari_viewer: Any) -> None:
    from napari.utils._proxies import PublicOnlyProxy

    viewer = make_napari_viewer()
    assert desk_of(PublicOnlyProxy(viewer)).bench is desk_of(viewer).bench


def test_a_scan_that_another_replaces_leaves_no_memory_behind_even_where_it_was_frozen(
    at_work: Any, tmp_path: Path, collector: pytest.MonkeyPatch
) -> None:
    collector.undo()
    hu = weakref.ref(at_work.bench.current.scan.hu)
    gc.freeze()  # as when a network is first brought in
    at_work.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    at_work.until(lambda: hu() is None)


def test_a_model_run_is_shown_as_it_grows_and_undone_as_one(at_work: Any, quick_network: Any, trained: Any) -> None:
    quick_network()
    run = at_work.bench.segment(SegmentRequest(trained))
    at_work.until(lambda: run.over)
    assert (at_work.lesions.data[:, 25, 15] == 1).all()
    at_work.key(Qt.Key.Key_Z, CTRL)
    assert not at_work.lesions.data.any()
    assert not at_work.session.labels.values.any()


def test_a_second_scan_leaves_the_first_one_its_results(
    at_work: Any, quick_network: Any, trained: Checkpoint, tmp_path: Path
) -> None:
    quick_network(0.05)
    folder = at_work.session.folder
    run = at_work.bench.segment(SegmentRequest(trained))
    opening = at_work.bench.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    at_work.until(lambda: run.over and opening.over)
    at_work.live(0.2)
    assert at_work.viewer.layers[0].name == "other_ct"
    assert not at_work.lesions.data.any()
    first = ReviewSession.resume(folder, "tester")
    assert (first.labels.values[:, 25, 15] == 1).all()
    first.close()


def test_closing_the_window_while_a_job_runs_keeps_what_was_finished(
    at_work: Any, quick_network: Any, trained: Checkpoint
) -> None:
    quick_network(0.1)
    folder = at_work.session.folder
    run = at_work.bench.segment(SegmentRequest(trained))
    at_work.until(lambda: run.progress.done >= 2)
    started = time.monotonic()
    at_work.viewer.close()
    assert time.monotonic() - started < 5
    assert not compute_threads()
    session = ReviewSession.resume(folder, "tester")  # the journal is free again
    assert 2 <= np.count_nonzero(session.labels.values.any(axis=(1, 2))) < 12
    session.close()


def test_a_scan_that_came_in_through_napari_is_put_on_the_bench(window: Any, scan_path: Path) -> None:
    from napari.layers import Layer

    from napari_covseg import plugin

    driver = window()
    layer = Layer.create(*plugin.read(str(scan_path))[0])
    layer._source = layer.source.model_copy(update={"path": str(scan_path)})
    driver.viewer.add_layer(layer)
    driver.until(lambda: driver.desk.link.layers is not None)
    assert [each.name for each in driver.viewer.layers] == ["case_ct", "lesions", "outlines"]


def test_the_sample_from_the_menu_is_put_on_the_bench_and_its_answer_is_hidden(window: Any) -> None:
    driver = window()
    driver.viewer.open_sample("napari-covseg", "chest-ct")
    driver.until(lambda: driver.desk.link.layers is not None)
    assert [each.name for each in driver.viewer.layers] == ["sample_lesion", "sample_ct", "lesions", "outlines"]
    assert not driver.viewer.layers["sample_lesion"].visible


def test_panels_open_in_a_second_without_torch() -> None:
    code = """
import sys, time
import napari
viewer = napari.Viewer(show=True)
from napari_covseg.widgets import tabs
slow = []
for title, panel, _ in tabs.PANELS:
    started = time.perf_counter()
    panel(viewer)
    seconds = time.perf_counter() - started
    if seconds > 1:
        slow.append((title, seconds))
tabs.CovSegTabs(viewer)
heavy = [name for name in ("torch", "monai") if name in sys.modules]
viewer.close()
assert not slow, slow
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
