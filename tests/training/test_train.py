"""From cases to a checkpoint: all five networks, cascades stage by stage, and what a parent hands on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_covseg.inference import Segmenter
from napari_covseg.io import write_labels
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.scans import read_labels
from napari_covseg.jobs import Progress, Remark, drain
from napari_covseg.networks import Card, available, checkpoint, load
from napari_covseg.networks.learned import Learned
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.lesson import lesson_of_case
from napari_covseg.training.loop import CheckDone, StepDone
from napari_covseg.training.neighbourhoods import split
from napari_covseg.training.train import LUNG_SHARE, TrainingRequest, stage_config, train

THREE = ("ggo", "consolidation", "effusion")
CONFIG = TrainingConfig(steps=2, batch=1, crop=64, depth=8, augmentation=("flip", "window"))


def request(key, folder, scheme=THREE, **other):
    return TrainingRequest(key, folder / "mine.safetensors", CONFIG, scheme=scheme, device="cpu", **other)


def weights(trained):
    return torch.cat([t.flatten().double() for t in checkpoint.revived(trained).state_dict().values()])


@pytest.mark.parametrize("classes", ["lesions", pytest.param("paper", marks=pytest.mark.slow)])
@pytest.mark.parametrize("key", available())
def test_every_network_is_trained_on_every_kind_of_case(key, classes, cases, tmp_path):
    scheme = load(key).scheme if classes == "paper" else THREE
    steps = []
    kept = drain(train(request(key, tmp_path, scheme), find_cases([cases])), steps.append)
    stages = load(key).stages
    done = [step.step for step in steps if isinstance(step, StepDone)]
    assert done == [n for stage in stages for n in range(1, stage_config(CONFIG, stage).steps + 1)]
    assert (kept.card.network, kept.card.scheme) == (key, scheme)
    assert kept.card.trained_on == "3 patients or sets: c1, e1, m1"
    lone = [len(seen.slices_sha256) == 1 for seen in kept.card.learned.values()]
    assert [seen.places is None for seen in kept.card.learned.values()] == lone  # nobody knows where a picture lies
    assert any(lone)
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.safetensors"]
    torch.manual_seed(CONFIG.seed)
    fresh = load(key).build(scheme, "compact").state_dict()
    for stage in stages:
        head = checkpoint.revived(kept)[stage.name].state_dict()["head.weight"]
        assert not torch.allclose(head, fresh[f"{stage.name}.head.weight"], atol=1e-4)


def test_a_trained_checkpoint_segments(cases, tmp_path):
    kept = drain(train(request("chs_net", tmp_path), find_cases([cases])))
    scan, _, _ = read_case(find_cases([cases])[-1])
    assert drain(Segmenter(kept, "cpu").segment(scan, [1])).labels.geometry.same_grid(scan.geometry)


def test_the_lung_takes_its_share_of_the_steps():
    lung, lesion = load("chs_net").stages
    config = replace(CONFIG, steps=40)
    assert stage_config(config, lung).steps == 40 * LUNG_SHARE
    assert stage_config(config, lesion) is config
    assert stage_config(replace(config, steps=1), lung).steps == 1


@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_training_whose_folder_goes_away_is_kept_among_the_readers_own(instead, cases, tmp_path, isolated_home):
    net, steps = tmp_path / "net", []

    def unmount(step):
        steps.append(step)
        if isinstance(step, StepDone) and step.step == 1 and net.exists():
            net.rename(tmp_path / "elsewhere")
            if instead == "a folder":
                net.mkdir()

    kept = drain(train(request("res_att_unet", net, held_out=frozenset({"c1"})), find_cases([cases])), unmount)
    assert kept.path.parent == isolated_home / checkpoint.OWN_FOLDER
    assert kept.card.metrics["held_out"] == ["c1"]
    told = [step.words for step in steps if isinstance(step, Remark)]
    assert f"{net} went away while mine.safetensors was made; see whether its disk is connected." in told[-1]
    assert told[-1].endswith(f"What was learned is kept as {kept.path} instead.")
    assert not net.exists() or not list(net.glob("*.safetensors"))


def test_two_trainings_do_not_make_one_checkpoint(cases, tmp_path):
    asked = request("chs_net", tmp_path)
    job = train(asked, find_cases([cases]))
    next(job)
    with pytest.raises(ValueError, match=r"mine\.safetensors is being made by another run now"):
        next(train(replace(asked, resume=True), find_cases([cases])))
    job.close()
    next(train(replace(asked, resume=True), find_cases([cases])))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that takes no file from anybody")
def test_where_no_file_can_be_made_nobody_else_is_blamed(cases):
    with pytest.raises(ValueError, match=r"No file can be made in /proc; choose another place for z\.safetensors"):
        next(train(replace(request("chs_net", Path("/proc")), out=Path("/proc/z.safetensors")), find_cases([cases])))


def test_what_leaves_nothing_to_go_on_with_leaves_nothing(cases, tmp_path, monkeypatch):
    broken = replace(request("res_att_unet", tmp_path), config=replace(CONFIG, learning_rate=1e30))
    with pytest.raises(ValueError, match="no number any more"):
        drain(train(broken, find_cases([cases])))
    assert not list(tmp_path.glob("*mine*"))
    monkeypatch.setattr("napari_covseg.training.loop.SAVE_EVERY_SECONDS", 0)
    with pytest.raises(ValueError, match="no number any more"):
        drain(train(broken, find_cases([cases])))
    assert broken.files.about.exists()  # beside what was saved after the first step
    assert broken.files.hold_any_work


def test_a_cascade_stopped_in_its_second_stage_goes_on_to_the_same_bits(cases, tmp_path, monkeypatch):
    config = replace(CONFIG, steps=4)
    whole = replace(request("chs_net", tmp_path / "whole"), config=config)
    kept = drain(train(whole, find_cases([cases])))
    monkeypatch.setattr("napari_covseg.training.loop.SAVE_EVERY_SECONDS", 0)
    stopped = replace(whole, out=tmp_path / "stopped" / "mine.safetensors")
    job, seen = train(stopped, find_cases([cases])), 0
    while seen < 2 + 3:  # two steps of the lung, then into the lesions
        seen += isinstance(next(job), StepDone)
    job.close()
    lung, lesion = load("chs_net").stages
    assert stopped.files.finished(lung).exists()
    assert stopped.files.state(lesion).exists()
    assert not stopped.out.exists()
    steps = []
    resumed = drain(train(replace(stopped, resume=True), find_cases([cases])), steps.append)
    assert [step.step for step in steps if isinstance(step, StepDone)] == [4]
    assert torch.equal(weights(kept), weights(resumed))
    assert [path.name for path in stopped.out.parent.iterdir()] == ["mine.safetensors"]


def test_a_cascade_stopped_between_its_stages_goes_on_to_the_same_bits(cases, tmp_path):
    whole = request("chs_net", tmp_path / "whole")
    kept = drain(train(whole, find_cases([cases])))
    stopped = replace(whole, out=tmp_path / "stopped" / "mine.safetensors")
    job = train(stopped, find_cases([cases]))
    lung, _ = load("chs_net").stages
    while not stopped.files.finished(lung).exists():
        next(job)
    job.close()
    torch.rand(7)  # whatever happened in between
    resumed = drain(train(replace(stopped, resume=True), find_cases([cases])))
    assert torch.equal(weights(kept), weights(resumed))


def test_a_finished_stage_of_other_settings_is_refused(cases, tmp_path):
    asked = request("chs_net", tmp_path)
    job = train(asked, find_cases([cases]))
    while not asked.files.finished(load("chs_net").stages[0]).exists():
        next(job)
    job.close()
    other = replace(asked, config=replace(CONFIG, seed=1), resume=True)
    with pytest.raises(ValueError, match="other settings"):
        drain(train(other, find_cases([cases])))


def test_without_resume_what_an_earlier_call_left_is_forgotten(cases, tmp_path):
    asked = request("res_att_unet", tmp_path)
    (stage,) = load("res_att_unet").stages
    asked.files.state(stage).write_bytes(b"of another training")
    assert drain(train(asked, find_cases([cases]))).card.network == "res_att_unet"


@pytest.mark.parametrize("key", ["chs_net", "covid_segnet"])
def test_held_out_patients_check_every_stage(key, cases, tmp_path):
    steps = []
    asked = request(key, tmp_path, held_out=frozenset({"m1"}))
    drain(train(asked, find_cases([cases])), steps.append)
    checks = [step for step in steps if isinstance(step, CheckDone)]
    assert [step.step for step in checks] == ([1, 1, 2] if key == "chs_net" else [1, 2])  # the lung has one step
    assert all(0 < step.loss < 10 for step in checks)


def test_a_training_that_gets_no_better_stops_and_keeps_its_best(cases, tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.6, 0.1])
    monkeypatch.setattr("napari_covseg.training.train.held_out_check", lambda *_: lambda _: next(losses))
    steps = []
    asked = request("res_att_unet", tmp_path, held_out=frozenset({"m1"}))
    drain(train(replace(asked, config=replace(CONFIG, steps=9, patience=2)), find_cases([cases])), steps.append)
    assert [step.loss for step in steps if isinstance(step, CheckDone)] == [3.0, 2.0, 2.5, 2.6]
    assert max(step.step for step in steps if isinstance(step, StepDone)) == 4


def test_without_held_out_patients_nothing_is_checked(cases, tmp_path):
    steps = []
    drain(train(request("res_att_unet", tmp_path), find_cases([cases])), steps.append)
    assert not [step for step in steps if isinstance(step, CheckDone)]


def test_held_out_patients_are_not_taught_but_measured(cases, tmp_path):
    asked, told = request("res_att_unet", tmp_path, held_out=frozenset({"m1"})), []
    kept = drain(train(asked, find_cases([cases])), told.append)
    doing = [step.doing for step in told if isinstance(step, Progress)]
    measuring = [words for words in doing if words.startswith("measuring on the patients held out")]
    assert measuring
    assert doing[-len(measuring) :] == measuring
    assert kept.card.trained_on == "2 patients or sets: c1, e1"
    assert kept.card.config["held_out"] == ["m1"]
    assert kept.card.metrics["held_out"] == ["m1"]
    assert {"dice_lesion", "dice_effusion"} <= kept.card.metrics["held_out_pooled"].keys()


def test_what_taught_is_in_the_card_and_judges_nothing_that_is_fine_tuned_from_it(cases, tmp_path):
    found = find_cases([cases])
    kept = drain(train(request("res_att_unet", tmp_path), found))
    for case in found:
        lesson = lesson_of_case(case)
        seen = kept.card.learned[lesson.scan.voxels_sha256]
        assert {index + 1 for index in lesson.reviewed} <= set(seen.taught)
        assert lesson.patients <= set(seen.patients)
        (dealt,) = split([lesson], kept.card.learned)
        assert dealt.held_out == ()
        assert dealt.barred == lesson.reviewed


@pytest.mark.parametrize(
    ("patients", "words"),
    [
        ({"x"}, "held-out patient x; cases.json names the patients"),
        ({"x", "y"}, "held-out patients x, y; "),
        ({"m1", "e1", "c1"}, "nothing is left"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(cases, tmp_path, patients, words):
    with pytest.raises(ValueError, match=words):
        drain(train(request("res_att_unet", tmp_path, held_out=frozenset(patients)), find_cases([cases])))


def test_cases_that_teach_nothing_are_refused(cases, tmp_path):
    asked = request("masc_net", tmp_path, ("infection",), held_out=frozenset({"m1", "c1"}))
    with pytest.raises(ValueError, match="Nothing here teaches the lesion part of MASC-Net"):
        drain(train(asked, find_cases([cases])))


def annotated_for(folder, **known):
    """Say of some cases what was looked for, and leave the others out."""
    entries = json.loads((folder / "cases.json").read_text())
    kept = {name: {**entries[name], "annotated": names} for name, names in known.items()}
    (folder / "cases.json").write_text(json.dumps(kept))
    return [case for case in find_cases([folder]) if case.name in kept]


def test_a_cascade_of_which_a_later_part_learns_nothing_is_refused_before_its_first_is_trained(cases, tmp_path):
    steps = []
    with pytest.raises(ValueError, match=r"^Nothing here teaches the lesion part of CHS-Net: .* not annotated\.$"):
        drain(train(request("chs_net", tmp_path), annotated_for(cases, m1=["lung"])), steps.append)
    assert not [step for step in steps if isinstance(step, StepDone)]


def test_all_parts_that_learn_nothing_are_named_at_once(cases, tmp_path):
    asked = request("two_stream_segnet", tmp_path, ("ggo", "consolidation"))
    words = (
        r"^Nothing here teaches the lung, infection and lesion parts of .*: "
        r"no annotated slice has a lung mask and its classes are not annotated\.$"
    )
    with pytest.raises(ValueError, match=words):
        drain(train(asked, annotated_for(cases, e1=["effusion"])))


def test_without_a_lung_mask_a_lung_part_is_the_parents(cases, tmp_path, parent):
    old, steps = parent("chs_net", THREE), []
    (cases / "m1_lung.nii.gz").unlink()
    found = annotated_for(cases, m1=list(THREE))
    kept = drain(train(request("chs_net", tmp_path, parent=old), found), steps.append)
    ours, theirs = (checkpoint.revived(one).state_dict() for one in (kept, old))
    same = {name: torch.equal(tensor, theirs[name]) for name, tensor in ours.items()}
    assert all(same[name] for name in same if name.startswith("lung."))
    assert not same["lesion.head.weight"]
    said = [step.words for step in steps if isinstance(step, Remark)]
    assert said == ["No annotated slice has a lung mask; the lung part of CHS-Net stays as it was."]
    with pytest.raises(ValueError, match="no annotated slice has a lung mask"):
        drain(train(request("chs_net", tmp_path / "fresh"), found))


@pytest.fixture
def parent(tmp_path):
    """From a network's key and classes to a checkpoint of random weights."""

    def of(key, scheme, width="compact"):
        torch.manual_seed(9)
        card = Card(network=key, width=width, scheme=scheme, trained_on="nothing")
        return checkpoint.save(load(key).build(scheme, width), card, tmp_path / "parent.safetensors")

    return of


@pytest.mark.parametrize("key", ["masc_net", "chs_net", "covid_segnet"])
def test_a_parent_of_other_classes_hands_on_all_but_the_heads(key, parent):
    """specs/common.md §2, rule 4."""
    old = parent(key, ("infection",))
    module = load(key).build(THREE, "compact")
    fresh = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    checkpoint.adopt(module, THREE, old)
    inherited = checkpoint.revived(old).state_dict()
    own_head = {f"{stage.name}.head." for stage in load(key).stages if stage.target != "lung"}
    for name, tensor in module.state_dict().items():
        is_head = name.startswith(tuple(own_head))
        assert torch.equal(tensor, fresh[name] if is_head else inherited[name]), name


def test_a_parent_of_the_same_classes_hands_on_everything(parent):
    old = parent("chs_net", THREE)
    module = load("chs_net").build(THREE, "compact")
    checkpoint.adopt(module, THREE, old)
    inherited = checkpoint.revived(old).state_dict()
    for name, tensor in module.state_dict().items():
        assert torch.equal(inherited[name], tensor)


def test_training_starts_from_its_parent_and_names_it(cases, tmp_path, parent):
    old = parent("masc_net", ("infection",))
    config = replace(CONFIG, learning_rate=1e-7)
    kept = drain(train(replace(request("masc_net", tmp_path, parent=old), config=config), find_cases([cases])))
    assert kept.card.parent_sha256 == old.sha256
    ours, theirs = (checkpoint.revived(one).state_dict() for one in (kept, old))
    parameters = [name for name in theirs if name.endswith("weight") and ".head." not in name]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in parameters)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"learned": {"v": Learned(taught=(3,), judged=(5,))}}, {"v": Learned(taught=(3,), judged=(5,))}),
        ({"scans_sha256": ("file",)}, {"file": Learned(taught=None)}),
    ],
)
def test_training_on_from_a_fine_tuned_network_keeps_which_slices_taught_it(said, kept, cases, tmp_path, parent):
    old = parent("masc_net", ("infection",))
    card = old.card.model_copy(update=said)
    old = checkpoint.save(checkpoint.revived(old), card, tmp_path / "tuned.safetensors")
    trained = drain(train(request("masc_net", tmp_path, parent=old), find_cases([cases])))
    assert kept.items() <= trained.card.learned.items()


def test_a_parent_of_another_width_or_network_is_refused(cases, tmp_path, parent):
    with pytest.raises(ValueError, match="parent is a compact masc_net; a compact chs_net cannot start from it"):
        drain(train(request("chs_net", tmp_path, parent=parent("masc_net", ("infection",))), find_cases([cases])))


def test_a_checkpoint_whose_card_names_other_classes_than_its_weights_is_refused(tmp_path, parent):
    """specs/common.md §2, rule 5: never silently relabelled."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    old = parent("masc_net", ("infection",))
    with safe_open(old.path, framework="numpy") as tensors:
        header = tensors.metadata()
    header["covseg"] = header["covseg"].replace('["infection"]', '["ggo", "consolidation"]')
    save_file(load_file(old.path), tmp_path / "lies.safetensors", metadata=header)
    with pytest.raises(ValueError, match="does not fit masc_net"):
        checkpoint.revived(checkpoint.read(tmp_path / "lies.safetensors"))


def left_behind(asked, cases):
    """Begin a training of a cascade and leave it when its lung is done."""
    job = train(asked, find_cases([cases]))
    while not asked.files.finished(load("chs_net").stages[0]).exists():
        next(job)
    job.close()


@pytest.mark.parametrize(
    "other",
    [{"held_out": frozenset({"c1"})}, {"scheme": ("ggo",)}, {"network": "masc_net"}],
    ids=lambda other: next(iter(other)),
)
def test_what_another_training_left_is_not_gone_on_with(other, cases, tmp_path):
    asked = request("chs_net", tmp_path)
    left_behind(asked, cases)
    with pytest.raises(ValueError, match="other cases, files or patients; give the same"):
        drain(train(replace(asked, resume=True, **other), find_cases([cases])))
    assert asked.files.finished(load("chs_net").stages[0]).exists()


def test_what_an_older_version_left_is_gone_on_with(cases, tmp_path):
    asked = request("chs_net", tmp_path)
    left_behind(asked, cases)
    asked.files.about.unlink()
    drain(train(replace(asked, resume=True), find_cases([cases])))
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.safetensors"]


def killed_while_measuring(asked, cases):
    """Train with patients held out, and leave it when it has begun to measure."""
    job = train(asked, find_cases([cases]))
    while not asked.out.exists():
        next(job)
    job.close()


def taught_in(asked, cases):
    """What a training comes to, and which steps it took."""
    steps = []
    kept = drain(train(asked, find_cases([cases])), steps.append)
    return kept, [step.step for step in steps if isinstance(step, StepDone)], told(steps)


def told(steps):
    return " ".join(step.words for step in steps if isinstance(step, Remark))


def test_killed_while_it_measures_it_goes_on_with_that(cases, tmp_path):
    asked = request("chs_net", tmp_path, held_out=frozenset({"m1"}))
    killed_while_measuring(asked, cases)
    assert asked.files.hold_any_work
    left = checkpoint.read(asked.out)
    assert left.card.metrics == {}
    kept, taken, words = taught_in(replace(asked, resume=True), cases)
    assert taken == []
    assert "what is left is to measure it" in words
    assert kept.card.metrics["held_out"] == ["m1"]
    assert torch.equal(weights(kept), weights(left))
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.safetensors"]


@pytest.mark.parametrize("held_out", [{"m1"}, set()], ids=["held out", "nobody held out"])
def test_a_finished_training_is_not_trained_again(held_out, cases, tmp_path):
    asked = request("res_att_unet", tmp_path, held_out=frozenset(held_out))
    kept, taken, _ = taught_in(asked, cases)
    assert taken == [1, 2]
    again, taken, words = taught_in(replace(asked, resume=True), cases)
    assert (again, taken) == (kept, [])
    assert words == f"{asked.out} is trained already."


def test_what_an_older_version_left_unmeasured_is_measured(cases, tmp_path):
    """It forgot what lay beside the file before it measured."""
    asked = request("res_att_unet", tmp_path, held_out=frozenset({"m1"}))
    killed_while_measuring(asked, cases)
    asked.files.forget()
    kept, taken, _ = taught_in(replace(asked, resume=True), cases)
    assert taken == []
    assert kept.card.metrics["held_out"] == ["m1"]


@pytest.mark.parametrize(
    "other",
    [
        {"held_out": frozenset({"c1"})},
        {"scheme": ("ggo",)},
        {"network": "masc_net"},
        {"config": replace(CONFIG, seed=1)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_file_of_another_training_is_replaced_only_when_asked(other, cases, tmp_path):
    asked = request("res_att_unet", tmp_path)
    before = drain(train(asked, find_cases([cases])))
    with pytest.raises(ValueError, match="is there already; choose another name"):
        next(train(asked, find_cases([cases])))
    resumed = replace(asked, resume=True, **other)
    with pytest.raises(ValueError, match="is of another training; choose another name"):
        next(train(resumed, find_cases([cases])))
    assert checkpoint.read(asked.out) == before
    assert taught_in(replace(resumed, overwrite=True), cases)[1] == [1, 2]


def test_other_cases_of_the_same_patients_are_another_training(cases, tmp_path):
    asked, found = request("res_att_unet", tmp_path), find_cases([cases])
    drain(train(asked, found))
    found = [replace(found[0], name="renamed"), *found[1:]]
    with pytest.raises(ValueError, match="is of another training"):
        next(train(replace(asked, resume=True), found))


def test_cases_that_were_corrected_since_are_another_training(cases, tmp_path):
    asked = request("res_att_unet", tmp_path, held_out=frozenset({"c1"}))
    killed_while_measuring(asked, cases)
    moved = cases.rename(tmp_path / "elsewhere")
    found = find_cases([moved])
    assert is_of_this_training(asked, found[::-1])
    labels = next(case.labels for case in found if case.name == "m1")
    drawn = read_labels(labels)
    write_labels(drawn.with_voxels(np.where(drawn.values == 3, np.uint8(0), drawn.values), drawn.geometry), labels)
    with pytest.raises(ValueError, match="or on other cases, files or patients"):
        next(train(replace(asked, resume=True), found))
    asked.files.forget()
    with pytest.raises(ValueError, match="is of another training"):
        next(train(replace(asked, resume=True), found))


def test_what_an_earlier_build_left_knows_its_cases_by_name_and_goes_on(cases, tmp_path):
    asked = request("res_att_unet", tmp_path, held_out=frozenset({"c1"}))
    killed_while_measuring(asked, cases)
    about = json.loads(asked.files.about.read_text("utf-8"))
    assert about.pop("contents_sha256")
    asked.files.about.write_text(json.dumps(about), "utf-8")
    assert is_of_this_training(asked, find_cases([cases]))


def is_of_this_training(asked, found):
    return "is trained already" in next(train(replace(asked, resume=True), found)).words


def test_a_training_that_replaces_a_file_goes_on_with_itself_and_not_with_that_file(cases, tmp_path, monkeypatch):
    """The same cases may hold other voxels by then."""
    monkeypatch.setattr("napari_covseg.training.loop.SAVE_EVERY_SECONDS", 0)
    asked = replace(request("res_att_unet", tmp_path), config=replace(CONFIG, steps=4))
    drain(train(asked, find_cases([cases])))
    job, seen = train(replace(asked, overwrite=True), find_cases([cases])), 0
    while seen < 3:
        seen += isinstance(next(job), StepDone)
    job.close()
    assert asked.files.hold_any_work
    assert taught_in(replace(asked, resume=True), cases)[1] == [4]


def test_a_file_that_is_no_checkpoint_is_replaced_only_when_asked(cases, tmp_path):
    asked = request("res_att_unet", tmp_path, resume=True)
    asked.out.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not a checkpoint of this program"):
        next(train(asked, find_cases([cases])))
    assert taught_in(replace(asked, overwrite=True), cases)[1] == [1, 2]


def test_a_damaged_state_is_said(cases, tmp_path):
    asked = request("res_att_unet", tmp_path, resume=True)
    asked.files.state(load("res_att_unet").stages[0]).write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"lesion\.state is damaged; start anew"):
        drain(train(asked, find_cases([cases])))


def test_weights_that_came_with_the_package_are_refused_before_anything_is_learned(cases, tmp_path, monkeypatch):
    asked = request("res_att_unet", tmp_path)
    asked.out.touch()
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="came with the package"):
        next(train(asked, find_cases([cases])))


def test_who_starts_from_a_checkpoint_has_learned_from_its_patients(cases, tmp_path):
    parent = drain(train(request("res_att_unet", tmp_path, held_out=frozenset({"m1"})), find_cases([cases])))
    assert parent.card.trained_on == "2 patients or sets: c1, e1"
    asked = replace(request("res_att_unet", tmp_path / "child", held_out=frozenset({"c1"})), parent=parent)
    child = drain(train(asked, find_cases([cases])))
    assert child.card.trained_on == "3 patients or sets: c1, e1, m1"
