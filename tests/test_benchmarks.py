"""The benchmarks run, and print the keys that were promised; their figures are for a quiet machine."""

import json
import math
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
    assert (found["fuzzed"], found["tracebacks"], found["wrong_loads"]) == (300, 0, 0)
    assert found["lines_printed"] == 0
    assert found["dicom_vs_simpleitk_speed"] > 0.5  # at least 1 on a quiet machine
    assert 1 <= found["open_peak_ratio"] <= 3.5
    kinds = {outcome.split(":")[0] for outcome in found["details"]["outcomes"]}
    packed = {"packed dicom", "packed nrrd", "packed mha", "zip"}
    assert kinds == {"nii", "nii.gz", "dicom", "nrrd", "mha", "png", "jpg"} | packed
