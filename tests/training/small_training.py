"""A training small enough to be started as a program of its own, stopped by force, or shared by two processes.

``python small_training.py OUT [--state FILE] [--batch N] [--parts M] [--slowly]`` leaves the trained weights in OUT.
Its last word is how many threads of the processes' group outlive the training.
"""

import argparse
import atexit
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_covseg.networks import load
from napari_covseg.training import loop
from napari_covseg.training.augment import SHIPPED
from napari_covseg.training.batches import batch_source
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.loop import StepDone, trained
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.processes import Processes
from napari_covseg.training.stacks import Stack

THREE = ("ggo", "consolidation", "effusion")
CONFIG = TrainingConfig(steps=12, batch=2, crop=32, seed=5, augmentation=SHIPPED)
SPEC = load("res_att_unet")
(STAGE,) = SPEC.stages


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(8, 4, 1)
    )


def stacks():
    rng = np.random.default_rng(0)
    found = []
    for index in range(6):
        labels = np.zeros((1, 48, 48), np.uint8)
        labels[0, 12:36, 12:36] = index % 4
        grey = (labels * 60 + rng.integers(0, 15, labels.shape)).astype(np.uint8)
        found.append(Stack(grey, labels, frozenset(THREE), f"c{index}", f"p{index % 3}"))
    return found


def training(config=CONFIG, module=None, batch_at=None, loss=None, **where):
    """Return the job."""
    batch_at = batch_at or batch_source(stacks(), SPEC, STAGE, THREE, config)
    return trained(module or network(), batch_at, loss or stage_loss(STAGE, THREE, config.loss), config, **where)


def say_threads_left():
    names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    sys.stdout.write(f"threads left: {sum('gloo' in name for name in names)}\n")


def main():
    atexit.register(say_threads_left)  # before the group's own: what is registered last is called first
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--batch", type=int, default=CONFIG.batch)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--slowly", action="store_true", help="save and say every step, and wait a little")
    given = parser.parse_args()
    if given.slowly:
        loop.SAVE_EVERY_SECONDS = 0
    module = network()
    module[3].p = 0.0 if given.parts > 1 else module[3].p  # each process draws its own dropout
    job = training(replace(CONFIG, batch=given.batch, parts=given.parts), module, state_file=given.state)
    while True:
        try:
            step = next(job)
        except StopIteration as ended:
            if Processes.here().first:
                torch.save(ended.value.state_dict(), given.out)
            return
        if given.slowly and isinstance(step, StepDone):
            sys.stdout.write(f"step {step.step}\n")
            sys.stdout.flush()
            time.sleep(0.1)


if __name__ == "__main__":
    main()
