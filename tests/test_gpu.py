"""`make gpu` without a GPU: it says so, and a dry run shows that the script itself works."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from napari_covseg.jobs import Progress

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = ("train", "segment", "finetune")


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def run(module, monkeypatch):
    """Return a function that runs the script with some words and returns its exit status."""

    def in_process(*words):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, words)])
        return module("gpu").main()

    return in_process


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_without_cuda_a_page_is_left_alone_and_a_missing_one_says_that_nothing_was_measured(run, tmp_path, capsys):
    page = tmp_path / "gpu.md"
    said = "There is no CUDA device here, so nothing was measured; gpu.md"
    assert run("--page", page) == 0
    assert capsys.readouterr().out == f"{said} says so.\n"
    assert "No GPU has been at hand" in page.read_text("utf-8")
    page.write_text("a real run", "utf-8")
    assert run("--page", page) == 0
    assert capsys.readouterr().out == f"{said} stays as it is.\n"
    assert page.read_text("utf-8") == "a real run"


def test_an_unknown_network_is_wrong_use(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("--networks", "resnet")
    assert "there is no resnet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "dtype", "tflops"),
    [
        ("NVIDIA H200", "bf16", 989.0),
        ("NVIDIA H200 NVL", "bf16", 835.5),
        ("NVIDIA H100 80GB HBM3", "tf32", 494.5),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312.0),
        ("NVIDIA A10", "fp32", 31.2),
        ("NVIDIA A1000 Laptop GPU", "fp32", None),
        ("CPU", "bf16", None),
    ],
)
def test_a_device_has_the_peak_of_its_own_name(module, name, dtype, tflops):
    assert module("gpu_meter").peak_tflops(name, dtype) == tflops


def test_a_share_of_peak_is_arithmetic_over_time_over_peak(module):
    meter = module("gpu_meter")
    assert meter.share_of_peak(989e12, 2.0, "NVIDIA H200", "bf16") == pytest.approx(0.5)
    assert meter.share_of_peak(989e12, 2.0, "an abacus", "bf16") is None


@pytest.mark.parametrize(
    ("value", "at_least", "ok"), [(0.5, False, True), (0.6, False, False), (0.5, True, True), (0.4, True, False)]
)
def test_a_check_passes_up_to_its_limit(module, value, at_least, ok):
    assert module("gpu_checks").Check("it", value, 0.5, at_least).row()["ok"] is ok


def test_a_part_that_broke_is_named_on_the_page_and_the_others_keep_their_figures(module):
    check = {"what": "first loss", "value": 0.25, "limit": 0.001, "at_least": False, "ok": False}
    steps = {"stages": 1, "seconds_per_step": 0.02, "seconds_per_batch": 0.1, "gflop_per_step": 5.0}
    trained = {"network": "a", "width": "paper", "part": "train", **steps, "share_of_peak": 0.125, "peak_mib": 512.0}
    broken = {"network": "b", "width": "paper", "part": "train", "error": "OutOfMemoryError: no more"}
    report = {"device": "NVIDIA H200", "torch": "2", "cuda": "13", "date": "today", "cpu_threads": 16, "cases": []}
    page = module("gpu_page").page({**report, "dry_run": False, "rows": [{**trained, "checks": [check]}, broken]})
    assert "**0 of 1 comparisons with the CPU passed.**" in page
    assert "- a, paper, train: first loss 0.25, allowed at most 0.001" in page
    assert "- b, paper, train: OutOfMemoryError: no more" in page
    assert "| a, paper | 1 | 20 | 100 | 5 | 12.5% | 512 | 2.5e-01 | – | – |" in page


def test_a_second_run_adds_its_rows_and_replaces_those_of_the_same_network_on_the_same_device(
    run, module, monkeypatch, tmp_path
):
    figures = tmp_path / "gpu.json"

    def parts(bench):
        row = {"network": bench.spec.key, "width": bench.width, "part": "train", "device": bench.device.type}
        return [{**row, "error": "nothing was done"}]

    monkeypatch.setattr(module("gpu"), "_parts", parts)
    words = ("--device", "cpu", "--json", figures, "--add", "--widths")
    assert run(*words, "compact", "--networks", "chs_net,masc_net") == 1
    assert run(*words, "compact,paper", "--networks", "masc_net") == 1
    rows = json.loads(figures.read_text("utf-8"))["rows"]
    assert [(row["network"], row["width"]) for row in rows] == [
        ("chs_net", "compact"),
        ("masc_net", "compact"),
        ("masc_net", "paper"),
    ]
    figures.write_text(json.dumps({"device": "NVIDIA H200", "rows": rows}), "utf-8")
    run(*words, "compact", "--networks", "chs_net")
    assert len(json.loads(figures.read_text("utf-8"))["rows"]) == 1


def test_what_the_meter_watches_is_where_it_looks(module):
    """Every module that makes batches; one that moved made the whole run fail."""

    def job():
        yield Progress(1, 1, "nothing")
        return "done"

    assert module("gpu_meter").StepWatch(torch.device("cpu")).run(job()) == "done"


@pytest.mark.slow
def test_a_dry_run_takes_a_network_through_all_three_parts_and_leaves_the_page_alone(run, tmp_path, capsys):
    page, figures = tmp_path / "gpu.md", tmp_path / "gpu.json"
    words = ("--device", "cpu", "--networks", "res_att_unet", "--widths", "compact")
    assert run(*words, "--json", figures, "--page", page) == 0
    assert "A dry run" in capsys.readouterr().out
    assert not page.exists()
    report = json.loads(figures.read_text("utf-8"))
    assert [row["part"] for row in report["rows"]] == list(PARTS)
    for row in report["rows"]:
        assert (row.get("gflop_per_step") or row["gflop_per_pass"]) > 0
        assert all(check["ok"] for check in row["checks"])
        assert row["share_of_peak"] is None
