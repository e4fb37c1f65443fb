"""Fine-tuning: what teaches, what judges, what is kept, and what is left when it is killed."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.main import get_command

from napari_covseg.cli import app
from napari_covseg.cli.folds import taught_by
from napari_covseg.io.cases import Case, find_cases, read_case
from napari_covseg.io.pseudonyms import pseudonym
from napari_covseg.jobs import Enough, Progress, Remark, drain
from napari_covseg.networks import Card, checkpoint, lineage, load
from napari_covseg.networks.card import patients_told
from napari_covseg.networks.learned import Learned
from napari_covseg.networks.zoo import res_att_unet
from napari_covseg.training import finetune, finetune_request, loop, rehearsal, schooling
from napari_covseg.training.classroom import Classroom, Pupil, parts_of
from napari_covseg.training.done import Attempt
from napari_covseg.training.finetune import finetuned
from napari_covseg.training.finetune_request import FineTuning, short_run
from napari_covseg.training.keeping import Keeping, held_to
from napari_covseg.training.lesson import Lesson, lesson_of_case, stack_of_lesson
from napari_covseg.training.loop import CheckDone, StepDone
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.made import commit
from napari_covseg.training.neighbourhoods import LEARNED_BEFORE, TOO_CLOSE, Dealt
from napari_covseg.training.stacks import IGNORED
from napari_covseg.training.taking_up import patients_of
from napari_covseg.volume import Geometry, LabelMap, Volume

THREE = ("ggo", "consolidation", "effusion")
WHOLE = load("res_att_unet")
CONFIG = replace(short_run(WHOLE, steps=2), batch=1, crop=32, depth=8)


pytestmark = pytest.mark.usefixtures("small_grids")


@pytest.fixture(scope="module")
def lesson():
    """Six slices 12 mm apart: a lesion of two kinds on four of them; the second and the fifth are reviewed."""
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1:5, 12:20, 12:20], labels[1:5, 24:30, 20:30] = 1, 3
    hu = (-800 + 300.0 * labels + rng.normal(0, 20, labels.shape)).astype(np.float32)
    affine = np.array([[0, 0, -2.0, 0], [0, -2, 0, 0], [-12, 0, 0, 0], [0, 0, 0, 1]])
    geometry = Geometry(labels.shape, affine)
    return Lesson(Volume(hu, geometry), LabelMap(labels, geometry), (1, 4), "a" * 64)


@pytest.fixture(scope="module")
def parent(tmp_path_factory, small_grids):
    folder = tmp_path_factory.mktemp("parents")

    def of(key, scheme=THREE):
        path = folder / f"{key}.safetensors"
        if path.exists():
            return checkpoint.read(path)
        torch.manual_seed(0)
        card = Card(network=key, width="compact", scheme=scheme, trained_on="nothing", terms="mine alone")
        return checkpoint.save(load(key).build(scheme, "compact"), card, path)

    return of


@pytest.fixture(scope="module")
def plain(parent, lesson, tmp_path_factory):
    """A parent as it was before, its child of the lesson as it stands, and what was told on the way."""
    old = parent("res_att_unet")
    before = old.path.read_bytes()
    child, steps = taught(old, lesson, tmp_path_factory.mktemp("plain") / "out" / "child.safetensors")
    return before, child, steps


def request(old, lesson, out, **other):
    lessons = lesson if isinstance(lesson, tuple) else (lesson,)
    return FineTuning(old, lessons, out, **{"config": CONFIG, "device": "cpu", "replay": (), **other})


def stopped_midway(asked):
    """Stop a fine-tuning after its first step."""
    job = finetuned(asked)
    while not isinstance(next(job), StepDone):
        pass
    job.close()


def taught(*given, enough=lambda: False, **other):
    steps = []
    return drain(finetuned(request(*given, **other), enough), steps.append), steps


def weights(trained):
    return checkpoint.revived(trained).state_dict()


@pytest.mark.slow  # a minute
@pytest.mark.parametrize("key", ["chs_net", "covid_segnet"])
def test_a_cascade_and_a_network_of_patches_learn_and_keep_what_no_reader_judged(key, lesson, parent, tmp_path):
    old = parent(key)
    child, steps = taught(old, lesson, tmp_path / "child.safetensors")
    learned = [stage.name for stage in load(key).stages if stage.target != "lung"]
    assert [step.step for step in steps if isinstance(step, StepDone)] == [1, 2] * len(learned)
    before, after = weights(old), weights(child)
    for name, tensor in before.items():
        if name.startswith("lung."):
            assert torch.equal(tensor, after[name]), name
    assert all(not torch.equal(before[f"{name}.head.weight"], after[f"{name}.head.weight"]) for name in learned)
    assert child.card.parent_sha256 == old.sha256
    assert (child.card.scans_sha256, child.card.sessions_sha256) == ((lesson.scan_sha256,), (lesson.sha256,))
    assert (child.card.scheme, child.card.terms) == (THREE, "mine alone")
    assert child.card.config["seed"] == 0
    assert any(isinstance(step, Progress) and step.doing.startswith("measuring") for step in steps)


def test_what_lies_on_an_unreviewed_slice_changes_nothing(lesson, parent, plain, tmp_path):
    old = parent("res_att_unet")
    elsewhere = lesson.labels.values.copy()
    elsewhere[[0, 2, 3, 5]] = 2
    other = replace(lesson, labels=lesson.labels.with_voxels(elsewhere, lesson.labels.geometry))
    assert other.sha256 == lesson.sha256
    found = [
        weights(plain[1]),
        *(
            weights(taught(old, one, tmp_path / f"{index}.safetensors")[0])
            for index, one in enumerate((other, replace(other, reviewed=(1, 3))))
        ),
    ]
    same = [all(torch.equal(found[0][name], one[name]) for name in found[0]) for one in found[1:]]
    assert same == [True, False]


def test_a_slice_accepted_without_a_change_is_truth(lesson, parent, tmp_path, monkeypatch):
    """It is accepted empty, as it was proposed: whoever is told so thinks less of lesions on it, and on the next."""
    monkeypatch.setattr(res_att_unet, "SPEC", WHOLE)  # on small grids so few steps say nothing either way
    old = parent("res_att_unet")
    empty = lesson.labels.with_voxels(np.zeros_like(lesson.labels.values), lesson.labels.geometry)
    accepted = replace(lesson, labels=empty, reviewed=(2,))
    keeping = Keeping(replay=False, distil=0, way=1.0)  # nothing else teaches
    asked = {"config": replace(CONFIG, steps=20, learning_rate=3e-3), "keeping": keeping}
    child, _ = taught(old, accepted, tmp_path / "child.safetensors", **asked)
    assert child.card.config["slices"]["taught"] == 1
    likely = []
    for one in (old, child):
        proposal = drain(finetune.Segmenter(one, "cpu").segment(lesson.scan, [2, 3], probabilities=True))
        likely.append(sum(proposal.probability_percent[name][[2, 3]].sum(axis=(1, 2), dtype=int) for name in THREE))
    assert (likely[1] < 0.5 * likely[0]).all()


def test_the_parent_is_left_as_it_was_and_no_file_but_the_child_is_left(parent, plain):
    before, child, _ = plain
    assert parent("res_att_unet").path.read_bytes() == before
    assert [path.name for path in child.path.parent.iterdir()] == ["child.safetensors"]


def test_without_a_reviewed_slice_there_is_nothing_to_learn(lesson, parent, tmp_path):
    with pytest.raises(ValueError, match="No slice is marked reviewed"):
        taught(parent("res_att_unet"), replace(lesson, reviewed=()), tmp_path / "child.safetensors")
    assert not list(tmp_path.glob("child*"))


def test_where_nobody_looked_for_what_the_network_knows_it_is_said_before_anything_is_measured(
    lesson, parent, tmp_path
):
    old = parent("masc_net", ("ggo", "consolidation"))
    asked = request(old, replace(lesson, annotated=frozenset({"effusion"})), tmp_path / "child.safetensors")
    earlier = asked.files.state(load("masc_net").stages[0])
    earlier.write_bytes(b"what a run that was stopped had learned")
    with pytest.raises(ValueError, match=r"Nobody looked .* for what masc_net knows \(ggo, consolidation\)"):
        next(finetuned(asked))
    assert list(tmp_path.glob("*child*")) == [earlier]  # nothing is made, and what was there is not lost


def test_a_child_replaces_no_file(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    before = old.path.read_bytes()
    with pytest.raises(ValueError, match="is there already"):
        taught(old, lesson, old.path)
    assert old.path.read_bytes() == before


def test_the_held_out_slice_is_neither_learned_nor_forgotten_in_the_table(lesson, plain):
    _, child, steps = plain
    gate = lineage.verdict_of(child)
    assert child.card.config["slices"] == {"taught": 1, "held_out": 1, "left_out": 0}
    assert (gate["judged"], gate["slices"], gate["replay_slices"]) == (True, 1, 0)
    assert [row["name"] for row in gate["held_out"]] == ["lesion", "ggo", "consolidation", "effusion"]
    assert len([step for step in steps if isinstance(step, CheckDone)]) == 2
    assert [step for step in steps if isinstance(step, Dealt)] == [Dealt(taught=1, held_out=1, left_out=0)]
    assert child.card.trained_on == "1 reviewed slice of 1 session; before that, others, who are not named"
    other = lesson.labels.values.copy()
    (held,) = finetune.split([lesson])[0].held_out
    other[held] = 0
    relabelled = replace(lesson, labels=lesson.labels.with_voxels(other, lesson.labels.geometry))
    assert finetune.split([relabelled])[0].held_out != (held,)  # it would be another one that judges


def test_what_its_parent_learned_never_judges_a_grandchild(lesson, plain, tmp_path):
    """The second slice judged, the fifth taught; the fifth would judge now, were the lineage not asked."""
    _, child, _ = plain
    scan = lesson.scan.voxels_sha256
    assert child.card.learned == {scan: Learned(taught=(5,), judged=(2,), slices_sha256=lesson.scan.slices_sha256)}
    grandchild, _ = taught(child, lesson, tmp_path / "grandchild.safetensors")
    assert grandchild.card.config["held_out_slices"] == {lesson.scan.voxels_sha256: [2]}
    assert finetune.split([replace(lesson, reviewed=(2, 4))])[0].held_out == (2,)
    third, steps = taught(child, replace(lesson, reviewed=(3, 4)), tmp_path / "third.safetensors")
    (said,) = [step.words for step in steps if isinstance(step, Remark)]
    assert "child, or one that it comes from, has learned from 2 reviewed slices here or from what lies beside" in said
    assert third.card.config["held_out_slices"] == {scan: []}
    assert third.card.learned == {scan: Learned(taught=(4, 5), judged=(2,), slices_sha256=lesson.scan.slices_sha256)}
    gate = lineage.verdict_of(third)
    assert (gate["promoted"], gate["judged"]) == (False, False)
    assert LEARNED_BEFORE in gate["words"]


def test_what_was_rehearsed_is_on_record_unless_it_is_not_rehearsed(lesson, parent, cases, tmp_path):
    among = [one for one in find_cases([cases]) if one.name in ("m1", "e1")]
    voxels = {read_case(one)[0].voxels_sha256 for one in among}
    rehearsed, _ = taught(parent("res_att_unet"), lesson, tmp_path / "a.safetensors", replay=tuple(among))
    asked = {"replay": tuple(among), "keeping": Keeping(replay=False)}
    without, _ = taught(parent("res_att_unet"), lesson, tmp_path / "b.safetensors", **asked)
    assert set(rehearsed.card.learned) == {lesson.scan.voxels_sha256, *voxels}
    assert rehearsed.card.learned[voxels.pop()].taught == (3,)
    assert set(without.card.learned) == {lesson.scan.voxels_sha256}


def test_a_child_and_what_a_killed_run_leaves_name_no_rehearsed_case(lesson, parent, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    among = tuple(
        replace(one, name=f"Jane Doe {one.name}", patient=f"Jane Doe {one.patient}")
        for one in find_cases([cases])
        if one.name in ("m1", "e1")
    )
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", replay=among)
    stopped_midway(asked)
    assert "Jane" not in asked.files.about.read_text()
    child = drain(finetuned(replace(asked, resume=True)))
    assert b"Jane" not in child.path.read_bytes()
    assert child.card.metrics["replay"] == {"rehearsed": 1, "asked": 1}


def test_a_childs_card_tells_all_whom_its_parents_learned_and_calls_nobody_by_name(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    card = old.card.model_copy(update={"trained_on": "2 patients or sets: Jane Doe, Joe"})
    own = checkpoint.save(checkpoint.revived(old), card, tmp_path / "own.safetensors")
    of_session = replace(lesson, patients=frozenset({"patient-of-session"}))
    child, _ = taught(own, of_session, tmp_path / "child.safetensors")
    assert b"Jane" not in child.path.read_bytes()
    named = ", ".join(sorted(pseudonym("patient", name) for name in ("Jane Doe", "Joe")))
    told = f"1 reviewed slice of 1 session; before that, 2 patients or sets: {named}"
    assert (child.card.trained_on, child.card.patients) == (told, None)
    asked = ["Jane Doe", "Jim", "Joe", "patient-of-session"]
    assert taught_by(child, asked) == ["Jane Doe", "Joe", "patient-of-session"]
    assert taught_by(child, ["patient-of-session", "Joe"], recorded=False) == ["Joe"]
    grandchild, _ = taught(child, replace(lesson, reviewed=(3,)), tmp_path / "grandchild.safetensors")
    assert grandchild.card.named_patients == child.card.named_patients
    assert "before that, others, who are not named, and 2 patients or sets: patient-" in grandchild.card.trained_on
    of_jim = Case("a", tmp_path, tmp_path, None, frozenset(), "Jim")
    trained_on = patients_of(SimpleNamespace(parent=grandchild), [of_jim])
    assert trained_on.startswith("others, who are not named, and 3 patients or sets: Jim, patient-")
    assert patients_told(trained_on) is None


def test_names_that_ship_stay_as_they_are_in_a_childs_card(lesson, parent, tmp_path, monkeypatch):
    old = parent("res_att_unet")
    card = old.card.model_copy(update={"trained_on": "2 patients or sets: c1, c2"})
    shipped = checkpoint.save(checkpoint.revived(old), card, tmp_path / "weights" / "parent.safetensors")
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "weights")
    child, _ = taught(shipped, lesson, tmp_path / "child.safetensors")
    assert child.card.trained_on == "1 reviewed slice of 1 session; before that, 2 patients or sets: c1, c2"
    assert taught_by(child, ["c1", "c9"]) == ["c1"]


@pytest.mark.parametrize("why", ["all are the scan", "nothing is known of them"])
def test_where_older_cases_can_say_nothing_the_sample_is_asked_about(why, lesson, parent, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "REHEARSED", 4)
    among = [one for one in find_cases([cases]) if one.name == "m1"]
    if why == "all are the scan":
        lesson = lesson_of_case(among[0])
    else:
        among = [replace(one, annotated=frozenset({"lung"})) for one in among]
    child, steps = taught(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", replay=tuple(among))
    assert "the bundled sample is rehearsed instead" in " ".join(one.words for one in steps if isinstance(one, Remark))
    assert lineage.verdict_of(child)["replay_slices"] > 0
    assert "the bundled sample" in lineage.verdict_of(child)["words"]
    assert child.card.metrics["replay"] == lineage.SYNTHETIC_SAMPLE


@pytest.mark.usefixtures("short_rehearsal")
@pytest.mark.parametrize("are_given", [False, True])
def test_where_the_sample_is_what_is_learned_nobody_knows_what_it_forgets_and_that_is_said(are_given, parent, tmp_path):
    sample = rehearsal.synthetic_sample()
    older = sample if are_given else None
    child, steps = taught(parent("res_att_unet"), lesson_of_case(*sample), tmp_path / "child.safetensors", replay=older)
    said = " ".join(one.words for one in steps if isinstance(one, Remark))
    assert "so its gate will not promote it; give older annotated cases" in said
    assert "rehearsed instead" not in said
    gate = lineage.verdict_of(child)
    assert (gate["promoted"], gate["replay_slices"]) == (False, 0)
    assert child.card.metrics["replay"] == {"rehearsed": 0, "asked": 0}


def test_one_corrected_slice_works_and_says_what_cannot_be_judged(lesson, parent, tmp_path):
    child, steps = taught(parent("res_att_unet"), replace(lesson, reviewed=(2,)), tmp_path / "child.safetensors")
    assert Dealt(taught=1, held_out=0, left_out=0, nobody=TOO_CLOSE) in steps
    assert not [step for step in steps if isinstance(step, CheckDone)]
    gate = lineage.verdict_of(child)
    assert (gate["promoted"], gate["judged"], gate["held_out"]) == (False, False, [])
    assert "cannot be said" in gate["words"]
    learned = child.card.metrics["on_the_learned_slices"]["after"]
    assert set(learned) == {"dice_lesion", "dice_ggo", "dice_effusion"}  # there is no consolidation on it


def test_the_synthetic_sample_is_rehearsed_where_nothing_else_is_given(lesson, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "REHEARSED", 4)
    child, _ = taught(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", replay=None)
    gate = lineage.verdict_of(child)
    assert gate["replay_slices"] > 0
    assert {"lesion", "ggo"} <= {row["name"] for row in gate["replay"]}


@pytest.mark.parametrize(
    ("keeping", "still"),
    [
        (Keeping(distil=0, freeze_encoder=True), ("encoders.", "stem.")),
        (Keeping(distil=0, freeze_batch_norm=False), ()),
    ],
)
def test_what_is_frozen_stays(keeping, still, lesson, parent, tmp_path):
    old = parent("res_att_unet")
    child, _ = taught(old, lesson, tmp_path / "child.safetensors", keeping=keeping)
    before, after = weights(old), weights(child)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if any(part in name for part in still)}
    assert frozen or not still
    assert not frozen & {name for name in moved if "num_batches" not in name}
    assert any("decoders" in name for name in moved)
    if keeping.freeze_batch_norm is False:
        assert any("running_mean" in name for name in moved)


def test_statistics_of_batch_norms_stay_where_few_slices_teach(parent, plain):
    before, after = weights(parent("res_att_unet")), weights(plain[1])
    statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert any(not torch.equal(before[name], after[name]) for name in before.keys() - statistics)


@pytest.mark.slow  # a minute
def test_the_parents_say_and_the_pull_keep_a_child_nearer(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    config = replace(CONFIG, steps=12, learning_rate=3e-3)

    def distance(name, keeping):
        child, _ = taught(old, lesson, tmp_path / f"{name}.safetensors", config=config, keeping=keeping)
        pairs = zip(weights(old).values(), weights(child).values(), strict=True)
        return float(sum((a.double() - b.double()).square().sum() for a, b in pairs))

    free = distance("free", Keeping(distil=0))
    assert distance("pulled", Keeping(distil=0, pull=10.0)) < 0.8 * free
    assert distance("distilled", Keeping(distil=0.5)) != free


def test_a_child_goes_half_of_the_way_and_a_quarter_where_it_forgot(lesson, parent, tmp_path, monkeypatch):
    old, forgot = parent("res_att_unet"), []
    monkeypatch.setattr(finetune, "surely_fell", lambda *_: forgot.pop() if forgot else False)

    def gone(name, *, it_forgot=False, **keeping):
        """How far it says it went, and how far it did."""
        forgot[:] = [it_forgot]
        kept = {"replay": finetune.synthetic_sample(), "keeping": Keeping(**keeping)}
        config = replace(CONFIG, learning_rate=0.01)  # so that rounding to half precision does not count
        child, steps = taught(old, lesson, tmp_path / f"{name}.safetensors", config=config, **kept)
        told = [each for each in steps if isinstance(each, Remark) and "half of what it had" in each.words]
        assert bool(told) is it_forgot
        before, after = weights(old), weights(child)
        moved = torch.cat([(after[key] - before[key]).float().flatten() for key in before])
        return child.card.metrics["way"], float(moved.norm())

    (_, whole), *others = (gone("all", way=1.0), gone("half"), gone("quarter", it_forgot=True))
    assert [way for way, _ in others] == [0.5, 0.25]
    assert [moved / whole for _, moved in others] == pytest.approx([0.5, 0.25], rel=0.02)


@pytest.mark.parametrize("network_key", ["covid_segnet", "res_att_unet"])
def test_the_parent_is_not_heard_on_reviewed_slices_of_a_scan_whose_others_nobody_labelled(lesson, network_key):
    spec = load(network_key)
    stage = next(stage for stage in spec.stages if stage.target != "lung")
    stacks = finetune._unlabelled([lesson], spec)
    config = short_run(spec, 3)
    room = Classroom(taught=[stack_of_lesson(lesson, spec)], rehearsed=[], unlabelled=stacks, watched=[])
    source = parts_of(room, Pupil(spec, stage, THREE), config, Keeping())[1]
    convolution = torch.nn.Conv3d if spec.grain == "patch" else torch.nn.Conv2d
    parent, child = (convolution(1, len(stage.channels(THREE)), 1) for _ in range(2))
    beside = held_to(parent, stage, THREE, Keeping(), 2)
    heard = 0.0
    for step in range(3):
        batch = source(step, 1)
        with torch.no_grad():
            logits = child(*batch[0])
        logits.requires_grad_(True)
        (slope,) = torch.autograd.grad(beside(child, logits, batch), logits)
        by_voxel = slope.abs().sum(dim=1)
        assert float(stage_loss(stage, THREE, None)(logits, *batch[1:])) == 0  # nobody looked: it teaches nothing else
        assert float(by_voxel[batch[1] == IGNORED].sum()) == 0
        heard += float(by_voxel.sum())
        if spec.grain == "patch":
            assert (batch[1] == IGNORED).any()  # what was reviewed lies in it
    assert heard > 0


def test_a_killed_run_goes_on_to_the_same_bits_and_leaves_the_parent(lesson, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    old = parent("chs_net")
    config = replace(CONFIG, steps=3)
    whole, _ = taught(old, lesson, tmp_path / "whole.safetensors", config=config)
    asked = request(old, lesson, tmp_path / "killed.safetensors", config=config)
    job, seen = finetuned(asked), 0
    while seen < 2:
        seen += isinstance(next(job), StepDone)
    next(job)
    (state,) = tmp_path.glob("killed*.state")
    as_killed = state.read_bytes()
    job.close()
    state.write_bytes(as_killed)  # a kill saves nothing on its way out
    assert not asked.out.exists()
    assert asked.files.about.exists()
    steps = []
    resumed = drain(finetuned(replace(asked, resume=True)), steps.append)
    assert [step.step for step in steps if isinstance(step, StepDone)] == [2, 3]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values(), strict=True))
    assert sorted(path.name for path in tmp_path.glob("killed*")) == ["killed.safetensors"]


def test_a_run_that_is_stopped_keeps_every_step_and_one_that_has_learned_nothing_leaves_nothing(
    lesson, parent, tmp_path
):
    old, config = parent("res_att_unet"), replace(CONFIG, steps=3)
    whole, _ = taught(old, lesson, tmp_path / "whole.safetensors", config=config)
    asked = request(old, lesson, tmp_path / "stopped.safetensors", config=config)
    job = finetuned(asked)
    next(job)
    job.close()
    assert not list(tmp_path.glob("*stopped*"))
    job, seen = finetuned(asked), 0
    while seen < 2:
        seen += isinstance(next(job), StepDone)
    job.close()
    steps = []
    resumed = drain(finetuned(replace(asked, resume=True)), steps.append)
    assert not any(isinstance(step, Remark) and "dropped" in step.words for step in steps)
    assert [step.step for step in steps if isinstance(step, StepDone)] == [3]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values(), strict=True))


def test_a_run_that_begins_anew_says_that_a_stopped_one_is_dropped(lesson, parent, tmp_path):
    asked = request(parent("res_att_unet"), lesson, tmp_path / "stopped.safetensors")
    stopped_midway(asked)
    again = finetuned(asked)
    assert "was stopped is dropped" in next(again).words
    assert asked.files.hold_any_work
    next(again)
    assert not asked.files.hold_any_work


def test_resuming_what_saved_nothing_starts_anew_and_says_so(lesson, parent, tmp_path):
    """Where no run of that name was begun, and where one was killed before it saved anything."""
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", resume=True)
    for _ in range(2):
        job = finetuned(asked)
        assert next(job) == Remark("Nothing was saved yet for child.safetensors; it starts anew.")
        next(job)
        left = asked.files.about.read_bytes()
        job.close()
        asked.files.about.write_bytes(left)  # a kill tidies nothing
    stopped_midway(replace(asked, resume=False))
    assert not isinstance(next(finetuned(asked)), Remark)


def test_two_runs_do_not_make_one_child(lesson, parent, tmp_path):
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")
    job = finetuned(asked)
    while not isinstance(next(job), StepDone):
        pass
    for second in (asked, replace(asked, resume=True)):
        with pytest.raises(ValueError, match=r"child\.safetensors is being made by another run now; wait until"):
            next(finetuned(second))
    finetune_request.forget(asked.out)
    assert asked.files.about.exists()
    child = drain(job)
    assert [path.name for path in tmp_path.iterdir()] == ["child.safetensors"]
    assert torch.equal(*(next(iter(weights(one).values())) for one in (child, checkpoint.read(asked.out))))


@pytest.mark.slow  # another process
def test_a_killed_run_holds_its_child_no_longer(lesson, parent, tmp_path):
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")
    words = "import sys, time; from pathlib import Path; from napari_covseg.training.run_files import alone\n"
    words += "with alone(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", words, str(asked.out)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="by another run now"):
            next(finetuned(asked))
        other.kill()
    drain(finetuned(asked))
    assert [path.name for path in tmp_path.iterdir()] == ["child.safetensors"]


def test_other_corrections_are_not_a_run_to_resume(lesson, parent, tmp_path):
    old = parent("res_att_unet")
    asked = request(old, lesson, tmp_path / "child.safetensors")
    stopped_midway(asked)
    other = replace(lesson, reviewed=(1, 3))
    with pytest.raises(ValueError, match="other corrections"):
        drain(finetuned(replace(asked, lessons=(other,), resume=True)))
    assert json.loads(asked.files.about.read_text())["sessions_sha256"] == [lesson.sha256]


def test_a_run_goes_on_with_the_older_cases_it_began_with_and_no_others_of_their_names(lesson, parent, cases, tmp_path):
    """The folder may have moved; what an earlier build left knows names alone, and says so."""
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", replay=find_cases([cases]))
    stopped_midway(asked)
    cases = cases.rename(tmp_path / "moved")
    asked = replace(asked, replay=find_cases([cases]), resume=True)
    assert asked.can_go_on
    whole = (cases / "m1_lesion.nii.gz").read_bytes()
    shutil.copy(cases / "e1_lesion.nii.gz", cases / "m1_lesion.nii.gz")
    assert not asked.can_go_on
    with pytest.raises(ValueError, match="other corrections, older cases or settings"):
        drain(finetuned(asked))
    (cases / "m1_lesion.nii.gz").write_bytes(whole)
    left = json.loads(asked.files.about.read_text())
    del left[finetune_request.OLDER_CASES]
    asked.files.about.write_text(json.dumps(left))
    assert asked.can_go_on
    steps = []
    drain(finetuned(asked), steps.append)
    assert Remark(finetune.NAMES_ALONE) in steps
    assert [step.step for step in steps if isinstance(step, StepDone)] == [2]


def test_enough_ends_it_with_the_best_so_far_which_is_judged(lesson, parent, tmp_path, monkeypatch):
    losses = iter([2.0, 1.0, 3.0, 4.0])
    monkeypatch.setattr(schooling, "held_out_check", lambda *_: lambda _: next(losses))
    old, enough, seen = parent("res_att_unet"), Enough(), []

    def tell(step):
        seen.append(step)
        if isinstance(step, StepDone) and step.step == 3:
            enough.ask()

    config = replace(CONFIG, steps=9, learning_rate=3e-3)
    asked = request(old, lesson, tmp_path / "child.safetensors", config=config)
    child = drain(finetuned(asked, enough), tell)
    assert max(step.step for step in seen if isinstance(step, StepDone)) == 3
    assert lineage.verdict_of(child)["judged"]
    assert FLATTERS in lineage.verdict_of(child)["words"]
    losses = iter([2.0, 1.0])
    two = replace(asked, out=tmp_path / "two.safetensors")
    stopped = Enough()
    at_two = drain(
        finetuned(two, stopped), lambda s: stopped.ask() if isinstance(s, StepDone) and s.step == 2 else None
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(child).values(), weights(at_two).values(), strict=True))


FLATTERS = "ended early and kept as it was best on these slices"


def test_what_was_ended_before_any_check_is_not_called_the_best(lesson, parent, tmp_path):
    config = replace(CONFIG, steps=9, checks=1)
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", config=config)
    steps = []
    child = drain(finetuned(asked, lambda: any(isinstance(step, StepDone) for step in steps)), steps.append)
    assert max(step.step for step in steps if isinstance(step, StepDone)) < config.steps
    assert not any(isinstance(step, CheckDone) for step in steps)
    assert lineage.verdict_of(child)["judged"]
    assert FLATTERS not in lineage.verdict_of(child)["words"]


def test_that_it_was_ended_early_is_said_also_when_the_run_was_killed_while_it_was_judged(lesson, parent, tmp_path):
    enough, asked = Enough(), request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", config=CONFIG)
    job = finetuned(asked, enough)
    for step in job:
        if isinstance(step, StepDone):
            enough.ask()
        if isinstance(step, Progress) and step.doing.startswith("judging"):
            break
    job.close()
    child = drain(finetuned(replace(asked, resume=True)))
    assert FLATTERS in lineage.verdict_of(child)["words"]


def test_time_that_is_up_when_all_is_learned_has_ended_nothing(lesson, parent, tmp_path):
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", config=CONFIG)
    steps = []
    is_up = count()  # asked after every step; it is up from the next question on
    child = drain(finetuned(asked, lambda: next(is_up) >= CONFIG.steps), steps.append)
    assert max(step.step for step in steps if isinstance(step, StepDone)) == CONFIG.steps
    assert lineage.verdict_of(child)["judged"]
    assert FLATTERS not in lineage.verdict_of(child)["words"]


def test_a_run_that_another_build_left_goes_on_where_its_settings_are_the_same(lesson, parent, tmp_path):
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")
    stopped_midway(asked)
    left = json.loads(asked.files.about.read_text())
    del left["config"]["patience"]  # 0 by default, as here
    asked.files.about.write_text(json.dumps(left))
    assert asked.can_go_on
    left["config"]["learning_rate"] *= 2
    asked.files.about.write_text(json.dumps(left))
    assert not asked.can_go_on
    with pytest.raises(ValueError, match="other corrections, older cases or settings"):
        drain(finetuned(replace(asked, resume=True)))
    asked.files.about.write_text("{}")
    with pytest.raises(ValueError, match="is damaged; start anew"):
        drain(finetuned(replace(asked, resume=True)))


def test_when_memory_runs_out_it_steps_down_and_says_so(lesson, parent, tmp_path, monkeypatch):
    tried = []

    def trained(module, batch_at, loss, config, **given):
        tried.append((config.batch, config.crop, config.checkpointing))
        if config.batch > 1 or config.crop > 96:
            yield StepDone(1, 0.5, 0.1)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from loop.trained(module, batch_at, loss, config, **given))

    monkeypatch.setattr(schooling, "trained", trained)
    config = replace(CONFIG, batch=4, crop=128)
    child, steps = taught(parent("res_att_unet"), lesson, tmp_path / "child.safetensors", config=config)
    assert tried == [(4, 128, False), (2, 128, False), (1, 128, False), (1, 96, False)]
    remarks = [step.words for step in steps if isinstance(step, Remark)]
    assert [words.split("trying again ")[1] for words in remarks] == [
        "with 2 at a time.",
        "with 1 at a time.",
        "with pieces of 96 pixels.",
    ]
    assert child.path.exists()
    assert [(one.stage, one.config.batch) for one in steps if isinstance(one, Attempt)] == [
        ("lesion", batch) for batch in (4, 2, 1, 1)
    ]
    told = child.card.config
    assert (told["batch"], told["crop"], told["done"]["steps"]) == (1, 96, [CONFIG.steps])


def test_without_any_memory_the_sentence_names_the_remedy(lesson, parent, tmp_path, monkeypatch):
    def trained(*_given, **_named):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        yield

    monkeypatch.setattr(schooling, "trained", trained)
    with pytest.raises(ValueError, match="close other programs"):
        taught(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")


def test_another_error_is_not_taken_for_a_lack_of_memory(lesson, parent, tmp_path, monkeypatch):
    def trained(*_given, **_named):
        raise RuntimeError("something else")
        yield

    monkeypatch.setattr(schooling, "trained", trained)
    with pytest.raises(RuntimeError, match="something else"):
        taught(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")


def test_the_card_tells_what_was_really_done_and_where_it_was_judged(plain, lesson):
    _, child, _ = plain
    config = child.card.config
    assert config["freeze_batch_norm"] is True  # by default, of so few slices
    assert config["held_out_slices"] == {
        lesson.scan.voxels_sha256: [2]
    }  # the second and the fifth are reviewed; as `split` deals two
    assert config["taught_slices"] == {lesson.scan.voxels_sha256: [5]}
    assert config["done"] == {"steps": [CONFIG.steps], "remarks": [], "device": "cpu"}
    assert child.card.metrics["replay"] == {"rehearsed": 0, "asked": 0}
    assert child.card.sessions_sha256 == (lesson.sha256,)


def test_the_card_tells_the_command_that_makes_it_again_and_names_no_file(lesson, parent, plain):
    _, child, _ = plain
    words = child.card.command.split()
    assert words[:4] == ["covseg", "finetune", "--network", "res_att_unet"]
    options = {
        name for one in get_command(app).commands["finetune"].params for name in (*one.opts, *one.secondary_opts)
    }
    assert {word for word in words if word.startswith("--")} <= options
    given = dict(pairwise(words))
    assert (given["--steps"], given["--seed"], given["--session"]) == ("2", "0", "SESSION_1")
    assert child.path.stem not in words
    assert child.card.commit == commit()
    assert child.card.code_version


def test_what_is_learned_twice_over_counts_once(lesson, parent, tmp_path):
    again = replace(lesson, reviewed=(1, 4, 5), scan_sha256="b" * 64)
    child, steps = taught(parent("res_att_unet"), (lesson, again), tmp_path / "child.safetensors")
    (dealt,) = [step for step in steps if isinstance(step, Dealt)]
    assert dealt.taught + dealt.held_out <= 3
    assert child.card.sessions_sha256 == (lesson.sha256, again.sha256)


@pytest.mark.parametrize("what", ["state", "a bit", "about"])
def test_what_a_killed_run_left_damaged_is_said(what, lesson, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    asked = request(parent("res_att_unet"), lesson, tmp_path / "child.safetensors")
    job = finetuned(asked)
    (stage,) = WHOLE.stages
    while not asked.files.state(stage).exists():
        next(job)
    job.close()
    damaged = asked.files.about if what == "about" else asked.files.state(stage)
    content = damaged.read_bytes()
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 1]) if what == "a bit" else b""
    damaged.write_bytes(content[:middle] + flipped + content[middle + 1 :] if flipped else content[:20])
    with pytest.raises(ValueError, match=r"child\.safetensors\.\S+ is damaged; start anew"):
        next(finetuned(replace(asked, resume=True)))  # before anything is computed


def test_a_run_that_failed_before_it_learned_anything_leaves_nothing(lesson, parent, tmp_path):
    gone = replace(parent("res_att_unet"), path=tmp_path / "gone.safetensors")
    with pytest.raises(ValueError, match="weights gone are gone from"):
        taught(gone, lesson, tmp_path / "child.safetensors")
    assert not list(tmp_path.iterdir())


def test_where_the_child_would_have_no_room_nothing_is_learned(small_disk, lesson, parent):
    steps = []
    asked = request(parent("res_att_unet"), lesson, small_disk / "new" / "child.safetensors")
    with pytest.raises(OSError, match=r"no room in .* MB are needed, 7\.\d MB are free; free some space there"):
        drain(finetuned(asked), steps.append)
    assert not steps
    assert not list(small_disk.iterdir())


def test_the_room_that_is_asked_for_holds_what_a_run_saves_on_its_way(lesson, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    old, most = parent("res_att_unet"), 0
    for _ in finetuned(request(old, lesson, tmp_path / "child.safetensors", config=replace(CONFIG, steps=4))):
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    asked_for = finetune_request.FILES_OF_A_CHILD * old.path.stat().st_size
    assert 0.7 * asked_for < most < asked_for


def test_where_no_file_can_be_made_nothing_is_learned_and_no_space_is_asked_for(lesson, parent):
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc")
    with pytest.raises(ValueError, match=r"No file can be made in /proc; choose another place for child\.safetensors"):
        next(finetuned(request(parent("res_att_unet"), lesson, Path("/proc/child.safetensors"))))


def test_on_a_full_disk_it_goes_on_says_so_and_leaves_what_was_there(small_disk, lesson, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    monkeypatch.setattr(finetune_request, "FILES_OF_A_CHILD", 0)  # as if it filled up later
    monkeypatch.setenv("COVSEG_HOME", str(small_disk / "home"))
    (small_disk / "scans").write_bytes(bytes(5_000_000))
    steps = []
    asked = request(parent("res_att_unet"), lesson, small_disk / "child.safetensors")
    with pytest.raises(OSError, match=r"child.*could not be written; free some space there"):
        drain(finetuned(asked), steps.append)
    told = [step.words for step in steps if isinstance(step, Remark)]
    assert "would be lost in a kill" in told[0]
    assert [step.step for step in steps if isinstance(step, StepDone)] == list(range(1, CONFIG.steps + 1))
    assert not list(small_disk.glob("child*"))


def test_a_child_that_finds_no_room_where_it_was_to_go_is_kept_among_the_readers_own(
    small_disk, lesson, parent, isolated_home, monkeypatch
):
    monkeypatch.setattr(finetune_request, "FILES_OF_A_CHILD", 0)
    (small_disk / "scans").write_bytes(bytes(5_000_000))
    child, steps = taught(parent("res_att_unet"), lesson, small_disk / "child.safetensors")
    assert child.path.parent == isolated_home / checkpoint.OWN_FOLDER
    assert [path.name for path in child.path.parent.iterdir()] == [child.path.name]
    told = [step.words for step in steps if isinstance(step, Remark)]
    assert told[-1].endswith(f"What was learned is kept as {child.path} instead.")
    assert [path.name for path in small_disk.iterdir()] == ["scans"]


@pytest.mark.parametrize("instead", ["nothing", "a folder", "a file"])
def test_a_folder_that_goes_away_meanwhile_is_not_made_anew_and_what_was_learned_is_kept(
    instead, lesson, parent, tmp_path, isolated_home, monkeypatch
):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    net, steps = tmp_path / "net", []

    def unmount(step):
        steps.append(step)
        if isinstance(step, StepDone) and step.step == 1:
            net.rename(tmp_path / "elsewhere")
            if instead == "a folder":
                net.mkdir()
            if instead == "a file":
                net.write_text("of somebody else")

    asked = request(parent("res_att_unet"), lesson, net / "child.safetensors")
    child = drain(finetuned(asked), unmount)
    assert child.path.parent == isolated_home / checkpoint.OWN_FOLDER
    assert lineage.verdict_of(child)["words"] != "It was not judged."
    told = [step.words for step in steps if isinstance(step, Remark)]
    assert told[-1].startswith(f"{net} went away while child.safetensors was made; see whether its disk is connected.")
    assert not any("free some space" in words or "Errno" in words for words in told)
    assert not net.exists() or net.is_file() or not list(net.iterdir())
