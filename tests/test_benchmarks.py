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
    for key in ("structure_texture_512_s", "structure_texture_vs_numpy", "hybrid_pool_ratio"):
        assert math.isfinite(found[key])
        assert found[key] > 0
