"""The loop: resumable to the bit, reproducible, and it learns."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from napari_covseg.jobs import Progress, drain
from napari_covseg.training.batches import batch_source
from napari_covseg.training.loop import StepDone, TrainingConfig, trained
from napari_covseg.training.losses import marginal_loss
from napari_covseg.training.samples import Sample

FULL = frozenset({"ggo", "consolidation", "effusion"})
CONFIG = TrainingConfig(steps=12, batch=2, crop=32, seed=5)
LOSS = partial(marginal_loss, channels=("background", "ggo", "consolidation", "effusion"))


def _samples(n=6):
    rng = np.random.default_rng(0)
    samples = []
    for index in range(n):
        labels = np.zeros((48, 48), np.uint8)
        labels[12:36, 12:36] = index % 4
        grey = (labels * 60 + rng.integers(0, 15, labels.shape)).astype(np.uint8)
        samples.append(Sample(grey[None], labels, FULL, f"c{index}", f"p{index % 3}", index))
    return samples


def _network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(8, 4, 1)
    )


def _run(config, **where):
    return drain(trained(_network(), batch_source(_samples(), config), LOSS, config, **where))


def _weights(module):
    return torch.cat([t.flatten().double() for t in module.state_dict().values()])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first = _weights(_run(CONFIG))
    assert torch.equal(first, _weights(_run(CONFIG)))
    other = TrainingConfig(steps=12, batch=2, crop=32, seed=6)
    assert not torch.equal(first, _weights(_run(other)))


def test_a_training_stopped_in_between_ends_at_the_same_bits(tmp_path):
    whole = _run(CONFIG)
    state = tmp_path / "w.state"
    stopped = 0
    while (resumed := _run(CONFIG, state_file=state, minutes=1e-9)) is None:
        stopped += 1
    assert stopped > 5
    assert torch.equal(_weights(whole), _weights(resumed))


def test_a_state_of_other_settings_is_refused(tmp_path):
    state = tmp_path / "w.state"
    _run(CONFIG, state_file=state, minutes=1e-9)
    other = TrainingConfig(steps=13, batch=2, crop=32, seed=5)
    with pytest.raises(ValueError, match="other settings"):
        _run(other, state_file=state)


def test_every_step_is_told():
    steps = []
    drain(trained(_network(), batch_source(_samples(), CONFIG), LOSS, CONFIG), steps.append)
    assert [s.step for s in steps if isinstance(s, StepDone)] == list(range(1, 13))
    assert [s.done for s in steps if isinstance(s, Progress)] == list(range(1, 13))


def test_the_loss_falls_on_a_task_that_grey_values_solve():
    config = TrainingConfig(steps=80, batch=4, crop=32, learning_rate=2e-2, seed=0)
    losses = []
    drain(
        trained(_network(), batch_source(_samples(), config), LOSS, config),
        lambda s: losses.append(s.loss) if isinstance(s, StepDone) else None,
    )
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_frozen_batch_norm_keeps_its_statistics():
    frozen = TrainingConfig(steps=3, batch=2, crop=32, freeze_batch_norm=True)
    assert torch.equal(_run(frozen)[1].running_mean, torch.zeros(8))
    assert not torch.equal(_run(TrainingConfig(steps=3, batch=2, crop=32))[1].running_mean, torch.zeros(8))


def test_a_batch_depends_on_its_step_alone():
    source = batch_source(_samples(), CONFIG)
    later_first = source(7)
    for step in range(3):
        source(step)
    again = source(7)
    assert torch.equal(later_first[0][0], again[0][0])
    assert torch.equal(later_first[1], again[1])


def test_augmentation_moves_image_and_labels_together():
    """Labels are grey values in these samples, so they must still match after rotation, scale, crop and flip."""
    (images,), labels, _ = batch_source(_samples(), TrainingConfig(steps=1, batch=16, crop=32))(0)
    for value in (1, 2, 3):
        inside = images[:, 0][labels == value]
        assert inside.numel() == 0 or abs(inside.median().item() - value * 60 / 255) < 0.25
    correlation = np.corrcoef(images[:, 0].flatten(), labels.flatten())[0, 1]
    assert correlation > 0.85
