"""The benchmarks run, and print the keys that were promised; their figures are for a quiet machine."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_the_benchmark_of_the_blocks_prints_its_keys():
    command = [sys.executable, BENCHMARKS / "bench_blocks.py", "--json", "--quick", "--no-peer"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (found["lsh_256_speedup"], found["lsh_256_memory_ratio"]) == (None, None)
    for key in (
        "structure_texture_512_s",
        "structure_texture_vs_numpy",
        "structure_texture_batched_s_per_slice",
        "hybrid_pool_ratio",
    ):
        assert math.isfinite(found[key])
        assert found[key] > 0


@pytest.mark.slow
def test_the_benchmark_of_opening_breaks_scans_without_a_traceback_or_a_wrong_load(covseg_data):
    command = [sys.executable, BENCHMARKS / "bench_io.py", "--json", "--quick", "--count", "300"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (found["fuzzed"], found["tracebacks"]) == (300, 0)
    assert found["wrong_loads"] == found["no_witness"] <= 0.08 * 300  # what nothing in the file could have told
    assert found["lines_printed"] == 0
    assert found["dicom_vs_simpleitk_speed"] > 0.5  # at least 1 on a quiet machine
    assert 1 <= found["open_peak_ratio"] <= 3.5
    kinds = {outcome.split(":")[0] for outcome in found["details"]["outcomes"]}
    packed = {"packed dicom", "packed nrrd", "packed mha", "zip"}
    assert kinds == {"nii", "nii.gz", "dicom", "enhanced", "nrrd", "mha", "png", "jpg"} | packed


@pytest.mark.slow
def test_the_benchmark_of_the_review_prints_its_keys():
    command = [sys.executable, BENCHMARKS / "bench_review.py", "--json", "--quick"]
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        pytest.skip("no screen; .ci/with_display gives one")
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    for key in ("brush_p95_ms", "fill3d_s", "napari_fill3d_s", "interpolate_s", "journal_p95_ms", "reopen_s"):
        assert math.isfinite(found[key])
        assert found[key] > 0
    assert found["fills_are_alike"]
    assert found["gui_gap_p99_ms"] > 0
    assert 0 < found["session_mb"] < 10
    assert found["details"]["strokes_painted_while_gaps_were_measured"] > 0


def test_the_benchmark_of_recovery_loses_nothing_that_was_acknowledged_and_nothing_in_silence():
    command = [
        sys.executable,
        BENCHMARKS / "bench_recovery.py",
        "--json",
        "--kills",
        "10",
        "--cuts",
        "48",
        "--seed",
        "1",
    ]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (found["kills"], found["cuts"]) == (10, 48)
    assert found["lost_acknowledged_corrections"] == found["silent_losses"] == found["unopenable_sessions"] == 0
    assert found["details"]["acknowledged"] > 0
    assert found["details"]["cuts_that_cost_rows"] > 0
    assert found["details"]["rows_before_a_cut_that_were_lost"] == 0


@pytest.mark.slow
def test_the_benchmark_of_the_window_prints_its_keys():
    pytest.importorskip("napari")
    display = Path(__file__).parents[1] / ".ci" / "with_display"
    command = [display, sys.executable, BENCHMARKS / "bench_window.py", "--json", "--quick"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    keys = ("open_panels_s", "scroll_p95_ms", "napari_bare_scroll_p95_ms", "strip_p95_ms", "open_views_s")
    for key in (*keys, "gui_gap_p99_ms", "gui_gap_worst_ms"):
        assert math.isfinite(found[key])
        assert found[key] > 0
    assert found["scroll_ratio"] == pytest.approx(found["scroll_p95_ms"] / found["napari_bare_scroll_p95_ms"], abs=0.01)


@pytest.mark.slow
def test_the_benchmark_of_the_verdict_times_a_judged_child(tmp_path):
    for part in ("ct", "lesion"):
        (tmp_path / f"sample_{part}.nii.gz").symlink_to(BENCHMARKS.parent / "sample_data" / f"sample_{part}.nii.gz")
    known = ["ggo", "consolidation", "effusion"]
    (tmp_path / "cases.json").write_text(json.dumps({"sample": {"patient": "nobody", "annotated": known}}))
    asked = ("--cases", tmp_path, "--scan", "sample", "--networks", "masc_net", "--slices", "70", "--steps", "1")
    command = [sys.executable, BENCHMARKS / "bench_verdict.py", "--json", *asked]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (run,) = found["details"]["runs"]["masc_net"]
    assert found["verdict_s"]["masc_net"] == run["seconds"] > 0
    (of_record,) = found["details"]["record"].values()
    assert found["record_s"]["masc_net"] == of_record["seconds"] < of_record["of_s"] + 1
    assert of_record["fingerprints_s"] > 0
    assert (found["details"]["slices"], found["details"]["of"]) == (70, 70)  # more than the sample has
    assert run["gate"]
