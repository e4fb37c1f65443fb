"""`covseg review` and `demo`: the window is another program, and the demo does without."""

import csv
import subprocess
import sys

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.cli import demo, main_job, review, window
from napari_covseg.io import home


@pytest.fixture
def started(monkeypatch):
    """The arguments napari would have been started with; it ends with this exit code."""
    calls = []
    ends = {"with": 0}

    def run(command, **settings):
        assert settings["stdout"] is sys.__stderr__
        calls.append(command[1:])
        return subprocess.CompletedProcess(command, ends["with"])

    monkeypatch.setattr(window.subprocess, "run", run)
    for module in (demo, review):
        monkeypatch.setattr(module, "hindrance", lambda: "")
    monkeypatch.delenv("COVSEG_HEADLESS", raising=False)
    return calls, ends


@pytest.fixture
def no_screen(monkeypatch):
    monkeypatch.setattr(window.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(window, "find_spec", lambda name: name)


def test_review_starts_napari_on_the_scan(covseg, scan, started):
    calls, _ = started
    assert covseg("review", scan, "--network", "res_att_unet").status == 0
    assert calls == [["-m", "napari_covseg.widgets", str(scan), "--network", "res_att_unet"]]


def test_review_tells_where_sessions_are_kept(covseg, scan, started):
    said = covseg("review", scan, "--json")
    assert said.json["sessions"] == str(home() / "sessions")
    assert f"Review sessions are kept in {home() / 'sessions'}; " in said.err


def test_review_tells_the_window_who_reads(covseg, scan, started):
    calls, _ = started
    assert covseg("review", scan, "--reader", "Dr Anna Özil").status == 0
    assert calls == [["-m", "napari_covseg.widgets", str(scan), "--reader=Dr Anna Özil"]]


def test_a_window_that_crashed_is_a_failure(covseg, scan, started):
    _, ends = started
    ends["with"] = 3
    said = covseg("review", scan)
    assert said.status == 1
    assert "napari ended with an error" in said.err


def test_review_without_a_screen_says_what_to_do(covseg, scan, no_screen):
    said = covseg("review", scan)
    assert said.status == 1
    assert "no screen" in said.err


def test_review_without_napari_says_what_to_install(covseg, scan, monkeypatch):
    monkeypatch.setattr(window, "find_spec", lambda name: None)
    said = covseg("review", scan)
    assert said.status == 1
    assert "napari-covseg[gui]" in said.err


@pytest.mark.parametrize(("words", "headless"), [(["--close"], "0"), ([], "1")])
def test_demo_with_a_screen_opens_napari(covseg, started, own_checkpoint, tmp_path, monkeypatch, words, headless):
    monkeypatch.setenv("COVSEG_HEADLESS", headless)
    assert covseg("demo", "--out", tmp_path, *words).status == 0
    assert started[0] == [["-m", "napari_covseg.widgets", "--demo", "--out", str(tmp_path), "--close"]]


def test_demo_without_weights_says_so(covseg, no_screen, tmp_path, monkeypatch):
    from napari_covseg.networks import checkpoint

    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    said = covseg("demo", "--out", tmp_path / "o")
    assert said.status == 1
    assert "covseg train" in said.err


def test_demo_without_a_screen_does_the_whole_job_twice(
    covseg, no_screen, own_checkpoint, scan, tmp_path, monkeypatch, write_mask, lps_mm
):
    lung = np.zeros((24, 20, 6))
    lung[5:-5, 5:-5] = 1
    lung_file = write_mask(tmp_path / "case_lung.nii.gz", lung)
    monkeypatch.setattr(main_job, "sample_scan", lambda: scan)
    monkeypatch.setattr(main_job, "sample_lung", lambda: lung_file)
    monkeypatch.setattr(main_job, "STEPS", 1)
    for _ in range(2):
        said = covseg("demo", "--out", tmp_path / "o", "--json")
        assert said.status == 0, said.err
        written = said.json["written"]
        assert nib.load(written["mask"][0]).shape == (24, 20, 6)
        assert np.array_equal(nib.load(written["mask"][0]).affine, lps_mm)
        (table,) = written["millilitres"]
        with open(table, newline="") as stream:
            assert [row["class"] for row in csv.DictReader(stream)] == ["ggo", "consolidation", "effusion", "infection"]
        assert len(written["pictures"]) == 2
        assert imageio.imread(written["pictures"][0]).shape == (640, 768, 3)
        assert written["checkpoint"][0].startswith(str(tmp_path / "o" / "session"))
