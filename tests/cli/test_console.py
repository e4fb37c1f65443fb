"""Progress: plain lines for files, a bar for a terminal."""

import signal
import time

import pytest
import rich.console
import typer

from napari_covseg.cli import console
from napari_covseg.cli.verb import Answer, _carry_out
from napari_covseg.jobs import Progress
from napari_covseg.training.unbroken import unbroken


def job(steps):
    for step in range(steps):
        yield Progress(step + 1, steps, "working")
        yield "something else"
    return "result"


def test_plain_lines_tell_the_first_and_last_step_only_while_it_is_quick(capsys):
    assert console.followed(job(50), "Job") == "result"
    assert capsys.readouterr().err.splitlines() == ["Job: 1/50 working", "Job: 50/50 working"]


def test_plain_lines_tell_of_long_work_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    console.followed(job(20), "Job")
    assert 4 < len(capsys.readouterr().err.splitlines()) < 15


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(rich.console.Console, "is_terminal", True)
    assert console.followed(job(3), "Job [1]") == "result"
    said = capsys.readouterr()
    assert "Job [1]: working" in said.err
    assert "3/3" in said.err
    assert said.out == ""


def test_an_answer_that_cannot_be_shown_is_one_sentence_too(capsys):
    class Unshowable:
        def __rich__(self):
            raise RuntimeError("no room")

    with pytest.raises(typer.Exit) as ended:
        _carry_out(lambda: Answer({}, Unshowable()), as_json=False, debug=False)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert "RuntimeError: no room" in said.err
    assert "Traceback" not in said.err


def test_of_several_processes_only_the_first_speaks(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert console.followed(job(3), "Job") == "result"
    _carry_out(lambda: Answer({"found": 1}, "found one"), as_json=True, debug=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    _carry_out(lambda: Answer({"found": 1}, "found one"), as_json=False, debug=False)
    assert capsys.readouterr().out == "found one\n"


def test_asked_to_end_twice_it_does_not_hurry():
    """A cluster signals the group, and torchrun its processes again; only a second Ctrl-C does not wait."""
    done = []

    def careful():
        with unbroken():
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
            done.append("whole")
        yield Progress(1, 1, "working")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        console.followed(careful(), "Job")
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGTERM) == before
