from __future__ import annotations

import threading
import time

import pytest
from psygnal import EmitLoopError

from napari_covseg.jobs import Enough, JobRunner, Progress, Run, drain, overheard

PATIENCE_S = 5.0


def counting(steps, result="done"):
    for index in range(steps):
        yield Progress(index + 1, steps, "counting")
    return result


def failing():
    yield Progress(1, 2)
    raise ValueError("The scan is empty.")


def endless(closed=None):
    try:
        while True:
            time.sleep(0.001)
            yield Progress(0, 0)
    finally:
        if closed is not None:
            closed.set()


def gated(gate):
    yield "before"
    assert gate.wait(PATIENCE_S)
    yield "after"


class Diary:
    """What a run told its subscribers, in order, and on which thread."""

    def __init__(self, run: Run, name="") -> None:
        self.lines: list[tuple] = []
        self.threads = set()
        run.stepped.connect(lambda step: self._note("stepped", step))
        run.finished.connect(lambda result: self._note("finished", result))
        run.cancelled.connect(lambda: self._note("cancelled"))
        run.failed.connect(lambda error: self._note("failed", error))

    def _note(self, *line) -> None:
        self.lines.append(line)
        self.threads.add(threading.get_ident())

    @property
    def ends(self):
        return [line[0] for line in self.lines if line[0] != "stepped"]


@pytest.fixture
def runner():
    runner = JobRunner()
    yield runner
    runner.close()


def test_draining_a_job_returns_its_result_and_shows_every_step():
    seen = []
    assert drain(counting(3), seen.append) == "done"
    assert [step.done for step in seen] == [1, 2, 3]


def test_draining_needs_no_onlooker():
    assert drain(counting(0)) == "done"


def test_draining_passes_an_error_on():
    with pytest.raises(ValueError, match="The scan is empty"):
        drain(failing())


def test_an_onlooker_that_fails_closes_the_job():
    closed = threading.Event()
    job = endless(closed)
    with pytest.raises(ZeroDivisionError):
        drain(job, lambda _: 1 / 0)
    assert closed.is_set()


def test_a_run_is_delivered_on_the_home_thread_and_worked_on_another(runner):
    workers = set()

    def job():
        workers.add(threading.get_ident())
        yield Progress(1, 1)
        return "map"

    run = runner.start(job(), "Segmenting")
    diary = Diary(run)
    runner.wait(run, PATIENCE_S)
    assert diary.lines == [("stepped", Progress(1, 1)), ("finished", "map")]
    assert diary.threads == {threading.get_ident()}
    assert workers.isdisjoint(diary.threads)
    assert run.over
    assert run.progress == Progress(1, 1)


def test_nothing_is_delivered_before_home_pumps(runner):
    run = runner.start(counting(2), "Segmenting")
    diary = Diary(run)
    time.sleep(0.1)
    assert diary.lines == []
    assert run.started_at is None
    assert runner.busy
    runner.pump()
    assert diary.ends == ["finished"]
    assert run.started_at is not None
    assert not runner.busy


def test_two_runs_are_worked_in_the_order_they_were_started(runner):
    order = []
    runs = [runner.start(counting(2), name) for name in ("first", "second")]
    for run in runs:
        run.stepped.connect(lambda _, run=run: order.append(run.title))
    assert runner.runs == tuple(runs)
    runner.wait(runs[1], PATIENCE_S)
    assert order == ["first", "first", "second", "second"]
    assert runner.runs == ()


def test_a_run_cancelled_before_its_turn_never_starts(runner):
    gate = threading.Event()
    first = runner.start(gated(gate), "first")
    touched = []

    def job():
        touched.append(True)
        yield Progress(1, 1)

    second = runner.start(job(), "second")
    diary = Diary(second)
    second.cancel()
    gate.set()
    runner.wait(second, PATIENCE_S)
    assert first.over
    assert touched == []
    assert diary.lines == [("cancelled",)]


def test_a_run_cancelled_on_its_way_stops_at_its_next_step_and_is_closed(runner):
    gate, closed = threading.Event(), threading.Event()

    def job():
        try:
            yield "before"
            assert gate.wait(PATIENCE_S)
            yield "this one still comes"
            yield "this one does not"
        finally:
            closed.set()

    run = runner.start(job(), "Segmenting")
    diary = Diary(run)
    while not diary.lines:
        runner.pump()
    assert not run.is_cancelling
    run.cancel()
    assert run.is_cancelling
    gate.set()
    runner.wait(run, PATIENCE_S)
    assert diary.lines == [("stepped", "before"), ("stepped", "this one still comes"), ("cancelled",)]
    assert closed.is_set()


def test_cancelling_what_is_over_changes_nothing(runner):
    run = runner.start(counting(1), "Segmenting")
    diary = Diary(run)
    runner.wait(run, PATIENCE_S)
    run.cancel()
    runner.pump()
    assert diary.ends == ["finished"]


def test_a_failure_is_delivered_as_the_error_itself_and_the_next_run_is_unharmed(runner):
    run = runner.start(failing(), "first")
    after = runner.start(counting(1), "second")
    diary = Diary(run)
    runner.wait(after, PATIENCE_S)
    assert diary.ends == ["failed"]
    assert str(diary.lines[-1][1]) == "The scan is empty."
    assert after.over


def test_a_subscriber_that_fails_leaves_the_runner_idle_and_told(runner):
    changes = []
    run = runner.start(counting(0), "Segmenting")
    runner.changed.connect(lambda: changes.append(runner.busy))
    run.finished.connect(lambda _: 1 / 0)
    with pytest.raises(EmitLoopError):
        runner.wait(run, PATIENCE_S)
    assert run.over
    assert changes == [False]


def test_the_runner_tells_when_runs_come_and_go(runner):
    changes = []
    runner.changed.connect(lambda: changes.append(len(runner.runs)))
    runner.wait(runner.start(counting(1), "Segmenting"), PATIENCE_S)
    assert changes == [1, 0]


def test_waiting_has_an_end(runner):
    run = runner.start(endless(), "Training")
    with pytest.raises(TimeoutError, match="Training"):
        runner.wait(run, 0.05)
    assert not run.over


def test_waiting_no_time_still_takes_what_has_come(runner):
    run = runner.start(counting(1), "Segmenting")
    time.sleep(0.1)
    runner.wait(run, 0.0)
    assert run.over


def test_closing_cancels_what_runs_and_what_waits_and_ends_the_thread():
    runner = JobRunner()
    closed = threading.Event()
    runs = [runner.start(endless(closed), "first"), runner.start(endless(), "second")]
    diaries = [Diary(run) for run in runs]
    thread = runner._thread
    runner.close()
    assert [diary.ends for diary in diaries] == [["cancelled"], ["cancelled"]]
    assert closed.is_set()
    assert not thread.is_alive()
    assert not runner.busy


def test_closing_what_never_started_is_allowed():
    JobRunner().close()


def test_the_time_left_follows_from_the_pace(runner):
    run = runner.start(counting(0), "Training")
    runner.wait(run, PATIENCE_S)
    assert run.seconds_left is None
    run.progress = Progress(1, 4)
    run.started_at = time.monotonic() - 10.0
    assert run.seconds_left == pytest.approx(30.0, abs=1.0)
    run.progress = Progress(4, 4)
    assert run.seconds_left == 0.0


def test_a_signal_is_made_once_however_soon_a_job_ends(runner):
    for _ in range(200):
        run = runner.start(counting(1), "Segmenting")
        results = []
        run.finished.connect(results.append)
        runner.wait(run, PATIENCE_S)
        assert results == ["done"]


def test_a_paused_job_rests_and_goes_on_where_it_was():
    runner, done = JobRunner(), []

    def counting():
        for number in range(200):
            done.append(number)
            time.sleep(0.001)
            yield Progress(number + 1, 200)

    run = runner.start(counting(), "counting")
    while len(done) < 5:
        time.sleep(0.001)
    run.pause()
    time.sleep(0.05)
    assert run.is_paused
    resting = len(done)
    time.sleep(0.1)
    assert len(done) == resting < 200
    run.go_on()
    runner.wait(run, 10)
    assert done == list(range(200))
    assert not run.is_paused
    runner.close()


def test_a_paused_job_rests_only_when_it_has_told_how_far_it_is():
    runner, begun, paused = JobRunner(), threading.Event(), threading.Event()

    def learning():
        begun.set()
        paused.wait(10)
        yield "step"
        yield "check"
        yield Progress(1, 2)
        yield "step"

    run, told = runner.start(learning(), "learning"), []
    run.stepped.connect(told.append)
    begun.wait(10)
    run.pause()
    paused.set()
    time.sleep(0.1)
    runner.pump()
    assert told == ["step", "check", Progress(1, 2)]
    run.go_on()
    runner.wait(run, 10)
    assert told[3:] == ["step"]
    runner.close()


@pytest.mark.parametrize("paused", [False, True])
def test_a_long_run_gives_way_to_shorter_ones_and_goes_on_where_it_was(runner, paused):
    long = runner.start(endless(), "learning", gives_way=True)
    other = runner.start(endless(), "learning more", gives_way=True)
    if paused:
        long.pause()
    order = []
    for number in range(3):
        runner.start(counting(2, number), str(number)).finished.connect(order.append)
    short = runner.start(counting(1, "last"), "last")
    runner.wait(short, PATIENCE_S)
    assert order == [0, 1, 2]
    assert not long.over
    assert runner.runs == (long, other)
    assert long.is_paused is paused
    long.cancel()
    runner.wait(long, PATIENCE_S)
    runner.wait(runner.start(counting(1), "between the steps of the other"), PATIENCE_S)
    assert other.started_at is not None
    other.cancel()
    runner.wait(other, PATIENCE_S)


def test_a_short_run_is_never_interrupted(runner):
    order = []
    first, second = runner.start(counting(20), "first"), runner.start(counting(1), "second")
    first.finished.connect(lambda _: order.append("first is over"))
    second.stepped.connect(lambda _: order.append("second begins"))
    runner.wait(second, PATIENCE_S)
    assert order == ["first is over", "second begins"]


def test_what_is_worked_on_now_stands_first(runner):
    gate, looked = threading.Event(), []
    long = runner.start(endless(), "learning", gives_way=True)
    short = runner.start(gated(gate), "opening")
    short.stepped.connect(lambda _: looked.append(runner.runs[0]))
    gate.set()
    runner.wait(short, PATIENCE_S)
    assert looked == [short, short]
    assert runner.runs == (long,)


def test_time_given_to_others_does_not_count_as_time_needed(runner):
    def slowly():
        time.sleep(0.5)
        yield Progress(1, 1)

    long = runner.start(endless(), "learning", gives_way=True)
    runner.wait(runner.start(slowly(), "opening"), PATIENCE_S)
    long.cancel()
    runner.wait(long, PATIENCE_S)
    assert long._at_work_s() < 0.4


def test_time_given_to_others_while_it_rests_counts_once():
    run = Run(counting(1), "learning", gives_way=True)
    run.started_at = time.monotonic() - 10
    run.pause()
    run._paused_at -= 4
    run.note_others(time.monotonic() - 6, time.monotonic())  # two seconds of it before the rest
    assert run._at_work_s() == pytest.approx(4, abs=0.1)
    run.go_on()
    run.note_others(time.monotonic() - 3, time.monotonic())  # all of it while it rested
    assert run._at_work_s() == pytest.approx(4, abs=0.1)


def test_closing_ends_a_run_that_gives_way_and_what_it_gave_way_to():
    runner, closed = JobRunner(), [threading.Event(), threading.Event()]
    runs = [runner.start(endless(each), "endless", gives_way=each is closed[0]) for each in closed]
    while runs[1].started_at is None:
        runner.pump()
    runner.close()
    assert all(each.is_set() for each in closed)
    assert not runner.busy


def test_a_paused_job_can_be_cancelled():
    runner = JobRunner()

    def endless():
        while True:
            time.sleep(0.001)
            yield None

    run = runner.start(endless(), "endless")
    run.pause()
    run.cancel()
    runner.wait(run, 10)
    assert run.over
    runner.close()


def test_steps_aside_tell_no_time_and_the_pace_is_counted_after_them(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("napari_covseg.jobs.run.time.monotonic", lambda: now[0])
    run = Run((_ for _ in ()), "x", Enough())
    run.started_at = 100.0
    for at_s, done in ((101.0, 8), (160.0, 9)):
        now[0] = at_s
        run.take(Progress(done, 9, "measuring", aside=True))
        assert run.seconds_left is None
    run.pause()
    now[0] = 200.0
    run.go_on()
    run.take(Progress(41, 100))
    assert run.seconds_left is None
    now[0] = 210.0
    run.take(Progress(51, 100))
    assert run.seconds_left == pytest.approx(49.0)
    run.wrap_up()
    assert run.is_wrapping_up
    assert run.seconds_left is None


def test_a_slow_step_lets_the_time_left_stand_still_but_not_rise(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("napari_covseg.jobs.run.time.monotonic", lambda: now[0])
    run = Run((_ for _ in ()), "x")
    run.started_at = 100.0
    now[0] = 110.0
    run.take(Progress(1, 4))
    told = []
    for now[0] in (110.0, 115.0, 120.0, 150.0):
        told.append(run.seconds_left)
    assert told == pytest.approx([30.0, 25.0, 20.0, 20.0])
    run.take(Progress(2, 4))
    assert run.seconds_left == pytest.approx(50.0)
    run.take(Progress(4, 4))
    assert run.seconds_left == 0.0


def test_time_spent_resting_does_not_count_as_time_needed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("napari_covseg.jobs.run.time.monotonic", lambda: now[0])
    run = Run((_ for _ in ()), "x")
    run.started_at, run.progress = 100.0, Progress(1, 4)
    now[0] = 110.0
    assert run.seconds_left == pytest.approx(30.0)
    run.pause()
    now[0] = 500.0
    assert run.seconds_left == pytest.approx(30.0)
    run.go_on()
    assert run.seconds_left == pytest.approx(30.0)


def test_a_job_is_wrapped_up_with_what_it_has():
    runner, enough, results = JobRunner(), Enough(), []

    def growing():
        found = 0
        while not enough():
            found += 1
            time.sleep(0.001)
            yield Progress(found, 1000)
        return found

    run = runner.start(growing(), "growing", enough)
    run.finished.connect(results.append)
    run.stepped.connect(lambda step: run.wrap_up() if step.done == 3 else None)
    runner.wait(run, 10)
    assert results[0] >= 3
    runner.close()


def test_who_overhears_a_job_hears_everything_and_closes_it_with_the_larger_one():
    heard, passed_on = [], []
    assert drain(overheard(counting(3), heard.append), passed_on.append) == "done"
    assert heard == passed_on
    assert [step.done for step in heard] == [1, 2, 3]
    closed = threading.Event()
    job = overheard(endless(closed), heard.append)
    next(job)
    job.close()
    assert closed.is_set()
