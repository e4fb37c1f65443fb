"""The parts of a step of fine-tuning."""

import numpy as np
import torch

from napari_covseg.networks import load
from napari_covseg.training.classroom import Classroom, Pupil, mixed_source, parts_of
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.keeping import NOBODY, Keeping
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.rehearsal import OF_BEFORE

THREE = ("ggo", "consolidation", "effusion")
SPEC = load("res_att_unet")
(STAGE,) = SPEC.stages
CONFIG = TrainingConfig(steps=3, batch=2, crop=32, augmentation=())


def test_a_step_has_a_part_of_each_kind_and_labels_only_where_there_are_any(make_stack):
    labels = np.zeros((2, 48, 48), np.uint8)
    labels[:, 16:32, 16:32] = 1
    reviewed = [make_stack(labels)]
    rehearsed = [make_stack(labels * 4, {"infection", OF_BEFORE}, patient="q")]
    unlabelled = [make_stack(np.zeros_like(labels), NOBODY)]
    given = (Classroom(reviewed, rehearsed, unlabelled, ()), Pupil(SPEC, STAGE, THREE), CONFIG)
    sources = parts_of(*given, Keeping())
    batch_at = mixed_source(sources)
    parts = [batch_at(0, part) for part in range(len(sources))]
    assert [len(annotated) for *_, annotated in parts] == [2, 1, 1]
    assert parts[1][2] == [frozenset({"infection", OF_BEFORE})]
    _, nothing, annotated = parts[2]
    assert (nothing == 0).all()
    loss = stage_loss(STAGE, THREE, "ce_plus_dice")
    logits = torch.rand(1, 4, 32, 32, requires_grad=True)
    assert float(loss(logits, nothing, annotated)) == 0
    assert len(parts_of(*given, Keeping(replay=False))) == 2
    assert len(parts_of(*given, Keeping(replay=False, distil=0))) == 1
