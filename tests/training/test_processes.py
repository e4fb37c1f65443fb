"""Two processes under torchrun do together what one does with two parts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_covseg.training.processes import Processes

PROGRAM = Path(__file__).with_name("small_training.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_two_processes_equal_one_with_two_parts(tmp_path):
    """On one thread each: sums of two threads round in another order, and bfloat16 shows it."""
    files = [tmp_path / "together.pt", tmp_path / "alone.pt"]
    for launcher, out in zip((TORCHRUN, (sys.executable,)), files, strict=True):
        words = [*launcher, PROGRAM, out, "--batch", "2", "--parts", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=environment)
        assert ended.returncode == 0, ended.stderr
        left = ended.stdout.count("threads left: ")
        assert left == ended.stdout.count("threads left: 0") > 0  # a thread that outlives Python may abort it
    together, alone = (torch.load(out, weights_only=True) for out in files)
    assert together.keys() == alone.keys()
    for name, tensor in alone.items():
        if tensor.is_floating_point():  # the others count the batches that each has seen
            assert torch.allclose(tensor, together[name], atol=1e-6), name
    assert not torch.allclose(alone["1.running_mean"], torch.zeros(8))


def test_parts_that_cannot_be_shared_out_are_refused():
    assert list(Processes(1, 2).share(4)) == [1, 3]
    assert list(Processes(0, 1).share(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="3 parts cannot be shared by 2 processes; ask for 2"):
        Processes(0, 2).share(3)


def test_a_lone_process_is_the_first_and_waits_for_nobody():
    alone = Processes.here()
    assert alone == Processes(0, 1)
    assert alone.first
    assert not Processes(1, 2).first
    alone.wait()
    assert [alone.any(flag) for flag in (True, False)] == [True, False]
    assert alone.summed(1.5, [torch.ones(1)]) == 1.5
