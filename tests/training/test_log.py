"""A log that TensorBoard's own reader reads back."""

import sys

import pytest

from napari_covseg.jobs import Progress, drain
from napari_covseg.training.log import check_log_is_possible, logged
from napari_covseg.training.loop import CheckDone, StepDone


def job(*steps):
    yield from steps
    return "result"


def read(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(scalar.step, pytest.approx(scalar.value)) for scalar in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_losses_rates_and_checks_are_read_back(tmp_path):
    pytest.importorskip("tensorboard")
    steps = [StepDone(1, 0.9, 0.001), Progress(1, 2), StepDone(2, 0.7, 0.002), CheckDone(2, 0.8), Progress(2, 2)]
    told = []
    assert drain(logged(job(*steps), tmp_path), told.append) == "result"
    assert told == steps
    assert read(tmp_path) == {
        "loss": [(1, 0.9), (2, 0.7)],
        "learning rate": [(1, 0.001), (2, 0.002)],
        "check loss": [(2, 0.8)],
    }


def test_a_resumed_training_replaces_what_it_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    drain(logged(job(*(StepDone(n, 1.0 * n, 0.1) for n in (1, 2, 3))), tmp_path))
    drain(logged(job(*(StepDone(n, 10.0 * n, 0.1) for n in (3, 4))), tmp_path))
    assert read(tmp_path)["loss"] == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


def test_a_training_stopped_by_hand_leaves_what_it_wrote(tmp_path):
    pytest.importorskip("tensorboard")
    running = logged(job(StepDone(1, 0.5, 0.1), StepDone(2, 0.4, 0.1)), tmp_path)
    next(running)
    running.close()
    assert read(tmp_path)["loss"] == [(1, 0.5)]


def test_nothing_done_writes_nothing(tmp_path):
    assert drain(logged(job(Progress(0, 1)), tmp_path / "log")) == "result"
    assert not (tmp_path / "log").exists()


def test_without_tensorboard_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r"napari-covseg\[train\]"):
        check_log_is_possible()
