"""Tools without a window: on the bench they are told, refused, undone, and never wait for a network."""

import shutil
import threading
import time
from functools import partial

import numpy as np
import pytest

from napari_covseg.jobs import Progress
from napari_covseg.review import Proposals, copy_slice, fill, relabel, remove_islands, smooth, smoothing
from napari_covseg.workbench import SegmentRequest, Workbench


@pytest.fixture
def bench(isolated_home, small_scan):
    bench = Workbench("Dr A")
    bench.words = []
    bench.said.connect(bench.words.append)
    bench.complained.connect(bench.words.append)
    bench.runner.wait(bench.open(small_scan), 30)
    values = bench.current.session.labels.values.copy()
    values[1:4, 10:20, 10:20] = 1
    bench.current.session.absorb(values, "brush", "a lesion")
    bench.words.clear()
    yield bench
    bench.close()


def values_of(bench):
    return bench.current.session.labels.values


def test_a_tool_on_a_slice_is_told_and_undone_in_one_step(bench):
    before = values_of(bench).copy()
    correction = bench.tools.apply(partial(relabel, place=(2, 15, 15), value=2), 2)
    assert bench.words == ["Relabel ground-glass opacity as consolidation on slice 3."]
    assert correction.slices == range(2, 3)
    assert (values_of(bench)[2, 10:20, 10:20] == 2).all()
    assert bench.current.session.undo()
    assert np.array_equal(values_of(bench), before)


def test_a_coronal_slice_is_a_slice_too(bench):
    bench.tools.apply(partial(relabel, place=(2, 15, 15), value=2), 15, axis=1)
    assert set(np.argwhere(values_of(bench) == 2)[:, 1]) == {15}


def test_marks_that_are_lost_are_told_and_a_tool_without_effect_too(bench):
    bench.current.session.mark_reviewed(1)
    bench.current.session.mark_reviewed(5)
    bench.tools.apply(partial(relabel, place=(2, 15, 15), value=2))
    assert bench.words[-1].endswith("on slices 2–4. No longer marked reviewed: slice 2.")
    assert bench.current.session.reviewed == (5,)
    assert bench.tools.apply(partial(remove_islands, below_mm3=0)) is None
    assert bench.words[-1] == "There was nothing to change."


def test_a_refusal_changes_nothing(bench):
    before = values_of(bench).copy()
    with pytest.raises(ValueError, match="holds no lesion"):
        bench.tools.apply(partial(copy_slice, index=4, step=1))
    run = bench.tools.apply_aside(partial(fill, place=(0, 0, 0), value=1), "Filling")
    bench.tool_runner.wait(run, 30)
    assert "not enclosed" in bench.words[-1]
    assert np.array_equal(values_of(bench), before)


def test_beside_the_window_a_tool_sees_the_labels_as_they_were_and_never_wipes_a_later_stroke(bench):
    go_on, seen = threading.Event(), []

    def slow(scene):
        go_on.wait(10)
        seen.append(scene.labels[2, 15, 15])
        return relabel(scene, (2, 15, 15), 2)

    run = bench.tools.apply_aside(slow, "Relabelling")
    values = values_of(bench).copy()
    values[2, 15, 15] = 3
    bench.current.session.absorb(values, "brush", "a stroke meanwhile")
    go_on.set()
    bench.tool_runner.wait(run, 30)
    assert seen == [1]
    assert "has changed since" in bench.words[-1]
    assert np.array_equal(values_of(bench), values)
    bench.tool_runner.wait(bench.tools.apply_aside(partial(relabel, place=(2, 15, 16), value=2), "Relabelling"), 30)
    assert values_of(bench)[2, 15, 16] == 2
    assert values_of(bench)[2, 15, 15] == 3


def test_a_tool_beside_the_window_sees_every_change_since_the_last_one(bench):
    session, seen = bench.current.session, []

    def look(scene):
        seen.append(np.array_equal(scene.labels, values_of(bench)))
        assert not np.shares_memory(scene.labels, values_of(bench))

    def painted(value):
        values = values_of(bench).copy()
        values[2, 3 : 5 + value, 4:6] = 1 + value % 3
        session.absorb(values, "brush", "brush")

    for change in (lambda: None, lambda: painted(1), session.undo, lambda: [painted(n) for n in range(100)]):
        change()
        bench.tool_runner.wait(bench.tools.apply_aside(look, "Looking"), 30)
    assert seen == [True] * 4


def test_a_long_tool_is_stopped_midway_and_changes_nothing(bench):
    before, begun = values_of(bench).copy(), threading.Event()

    def long(scene):
        for number in range(10_000):
            begun.set()
            yield Progress(number, 10_000, "thinking")
            time.sleep(0.002)
        return relabel(scene, (2, 15, 15), 2)

    run = bench.tools.apply_aside(long, "Thinking")
    assert begun.wait(10)
    run.cancel()
    bench.tool_runner.wait(run, 10)
    assert bench.words == ["Thinking: stopped; nothing was changed."]
    assert np.array_equal(values_of(bench), before)


def test_smoothing_all_slices_and_one_is_the_same_tool(bench):
    values = values_of(bench).copy()
    values[2, 10:20, 20:23] = 1
    bench.current.session.absorb(values, "brush", "a spur")
    expected = [smooth(bench.tools.scene(), 3.0), smooth(bench.tools.scene(2), 3.0)]
    steps = []
    run = bench.tools.apply_aside(partial(smoothing, size_mm=3.0), "Smoothing")
    run.stepped.connect(steps.append)
    bench.tool_runner.wait(run, 30)
    assert steps[-1].done == steps[-1].total > 0
    assert np.array_equal(values_of(bench)[expected[0].box], expected[0].after)
    bench.current.session.undo()
    bench.tools.apply(partial(smoothing, size_mm=3.0), 2)
    assert np.array_equal(values_of(bench)[expected[1].box], expected[1].after)


def test_two_tools_beside_the_window_each_have_their_own_labels(bench):
    runs = [
        bench.tools.apply_aside(partial(relabel, place=(1 + n, 15, 15), value=2 + n), "Relabelling") for n in range(2)
    ]
    for run in runs:
        bench.tool_runner.wait(run, 30)
    assert (values_of(bench)[1:4, 10:20, 10:20] == 2).all()
    assert "has changed since" in bench.words[-1]


def test_a_tool_does_not_wait_for_a_network(bench, untrained, monkeypatch):
    from napari_covseg import inference

    go_on = threading.Event()

    def segmenting(*_):
        go_on.wait(20)
        yield Progress(1, 1)

    monkeypatch.setattr(inference, "segmenting", segmenting)
    network = bench.segment(SegmentRequest(untrained, "slice", centre=5))
    run = bench.tools.apply_aside(partial(relabel, place=(2, 15, 15), value=2), "Relabelling")
    bench.tool_runner.wait(run, 10)
    assert not network.over
    assert (values_of(bench)[1:4, 10:20, 10:20] == 2).all()
    go_on.set()
    bench.runner.wait(network, 10)


def test_signed_is_signed(bench):
    bench.current.session.mark_reviewed(1)
    bench.current.session.sign()
    tool = partial(relabel, place=(2, 15, 15), value=2)
    for act in (lambda: bench.tools.apply(tool), lambda: bench.tools.apply_aside(tool, "Relabelling")):
        with pytest.raises(ValueError, match="signed"):
            act()


def test_what_networks_drew_is_written_again_where_it_is_deleted_and_what_cannot_be_is_said(
    bench, untrained, small_scan
):
    run = bench.segment(SegmentRequest(untrained, scope="slice", centre=3, device="cpu"))
    bench.runner.wait(run, 120)
    proposals, (name,) = bench.current.proposals, bench.current.proposals.networks
    drawn = proposals.labels(name)
    shutil.rmtree(proposals.folder)
    bench.runner.wait(bench.exports.mask(small_scan.parent / "out"), 60)
    assert np.array_equal(Proposals(bench.current.session.folder, drawn.shape).labels(name), drawn)
    assert not any("was deleted" in word for word in bench.words)
    bench.close()
    tomorrow = Workbench("Dr A")
    complaints = []
    tomorrow.complained.connect(complaints.append)
    tomorrow.runner.wait(tomorrow.open(small_scan), 30)
    shutil.rmtree(proposals.folder)
    for _ in range(2):
        tomorrow.runner.wait(tomorrow.exports.mask(small_scan.parent / "out2"), 60)
    assert (
        complaints[0] == f"What {name} drew was deleted from the session's folder; segment with it again to compare. "
        "Every correction is there."
    )
    assert len([each for each in complaints if "was deleted" in each]) == 1
    tomorrow.close()


def test_what_networks_drew_is_kept_for_comparison_also_after_a_restart(bench, untrained, small_scan):
    run = bench.segment(SegmentRequest(untrained, "slice", centre=5, device="cpu"))
    bench.runner.wait(run, 120)
    (network,) = bench.current.proposals.networks
    drawn = bench.current.proposals.labels(network)
    assert np.array_equal(drawn[5], values_of(bench)[5])
    assert not drawn[1].any()
    bench.close()
    time.sleep(0.1)
    again = Workbench("Dr A")
    again.runner.wait(again.open(small_scan), 30)
    assert np.array_equal(again.current.proposals.labels(network), drawn)
    again.close()
