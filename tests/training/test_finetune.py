"""Fine-tuning on reviewed slices alone: cascades stage by stage, patches with their context."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import Card, checkpoint, load
from napari_covseg.training.finetune import Lesson, finetuned, short_run
from napari_covseg.training.loop import StepDone
from napari_covseg.volume import Geometry, LabelMap, Volume

THREE = ("ggo", "consolidation", "effusion")
CONFIG = replace(short_run(load("res_att_unet"), steps=2), batch=1, crop=32, depth=8)


@pytest.fixture
def lesson():
    rng = np.random.default_rng(0)
    labels = np.zeros((4, 40, 40), np.uint8)
    labels[1:3, 12:20, 12:20], labels[1:3, 24:30, 20:30] = 1, 3
    hu = (-800 + 300.0 * labels + rng.normal(0, 20, labels.shape)).astype(np.float32)
    affine = np.array([[0, 0, -2.0, 0], [0, -2, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])
    geometry = Geometry(labels.shape, affine)
    return Lesson(Volume(hu, geometry), LabelMap(labels, geometry), (1, 2), "a" * 64)


@pytest.fixture
def parent(tmp_path):
    def of(key, scheme=THREE):
        torch.manual_seed(0)
        card = Card(network=key, width="compact", scheme=scheme, trained_on="nothing", terms="mine alone")
        return checkpoint.save(load(key).build(scheme, "compact"), card, tmp_path / f"{key}.safetensors")

    return of


def taught(old, lesson, out, **other):
    steps = []
    child = drain(finetuned(old, [lesson], out, config=CONFIG, device="cpu", **other), steps.append)
    return child, steps


@pytest.mark.parametrize("key", ["chs_net", "covid_segnet"])
def test_a_cascade_and_a_network_of_patches_learn_and_keep_what_no_reader_judged(key, lesson, parent, tmp_path):
    old = parent(key)
    child, steps = taught(old, lesson, tmp_path / "child.safetensors")
    learned = [stage.name for stage in load(key).stages if stage.target != "lung"]
    assert [step.step for step in steps if isinstance(step, StepDone)] == [1, 2] * len(learned)
    before, after = (checkpoint.revived(one).state_dict() for one in (old, child))
    for name, tensor in before.items():
        if name.startswith("lung."):
            assert torch.equal(tensor, after[name]), name
    assert all(not torch.equal(before[f"{name}.head.weight"], after[f"{name}.head.weight"]) for name in learned)
    assert child.card.parent_sha256 == old.sha256
    assert child.card.sessions_sha256 == (lesson.scan_sha256,)
    assert (child.card.scheme, child.card.terms) == (THREE, "mine alone")
    assert child.card.metrics["on_the_learned_slices"].keys() == {"before", "after"}
    assert any(isinstance(step, Progress) and step.doing.startswith("measuring") for step in steps)


def test_what_lies_on_an_unreviewed_slice_changes_nothing(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    elsewhere = lesson.labels.values.copy()
    elsewhere[[0, 3]] = 2
    other = replace(lesson, labels=lesson.labels.with_voxels(elsewhere, lesson.labels.geometry))
    found = [
        checkpoint.revived(taught(old, one, tmp_path / f"{index}.safetensors")[0]).state_dict()
        for index, one in enumerate((lesson, other, replace(other, reviewed=(0, 1))))
    ]
    same = [all(torch.equal(found[0][name], one[name]) for name in found[0]) for one in found[1:]]
    assert same == [True, False]


def test_the_parent_is_left_as_it_was(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    before = old.path.read_bytes()
    taught(old, lesson, tmp_path / "child.safetensors")
    assert old.path.read_bytes() == before


def test_without_a_reviewed_slice_there_is_nothing_to_learn(lesson, parent, tmp_path):
    with pytest.raises(ValueError, match="No slice is marked reviewed"):
        taught(parent("res_att_unet"), replace(lesson, reviewed=()), tmp_path / "child.safetensors")
    assert not (tmp_path / "child.safetensors").exists()
