"""`covseg train`, `finetune` and `export`: the loop from cases to a checkpoint and from sessions to masks."""

import errno
import json
import signal
import sqlite3
import sys
from contextlib import closing

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from napari_covseg.cli import sessions
from napari_covseg.cli.verb import STOPPED
from napari_covseg.networks import checkpoint, lineage
from napari_covseg.review import ReviewSession
from napari_covseg.training import finetune, saving
from napari_covseg.training.gate import Verdict
from napari_covseg.training.learner import Learner
from napari_covseg.training.tensor_files import read_tensors
from napari_covseg.volume import Provenance

NETWORK = ("--network", "res_att_unet")
SMALL = ("--width", "compact", "--batch", "1", "--device", "cpu")
BRIEF = (*SMALL, "--steps", "2")


@pytest.fixture
def cases(tmp_path, write_scan, write_mask):
    folder = tmp_path / "cases"
    folder.mkdir()
    lesion = np.zeros((24, 20, 6))
    lesion[8:12, 8:12, 2:4] = 1
    for name in ("a", "b"):
        write_scan(folder / f"{name}_ct.nii.gz")
        write_mask(folder / f"{name}_lesion.nii.gz", lesion)
    (folder / "cases.json").write_text(json.dumps({name: {"patient": name, "slices": [3, 4]} for name in "ab"}))
    return folder


def test_training_leaves_a_checkpoint_measured_on_the_held_out(covseg, cases, tmp_path):
    out = tmp_path / "mine.safetensors"
    words = ("--cases", cases, "--out", out, *BRIEF, "--scheme", "lesions", "--hold-out", "b", "--json")
    said = covseg("train", *NETWORK, *words)
    assert said.status == 0, said.err
    found = said.json
    assert found["finished"] is True
    assert found["checkpoint"] == str(out)
    assert found["scheme"] == ["ggo", "consolidation", "effusion"]
    assert found["metrics"]["held_out"] == ["b"]
    assert checkpoint.read(out).sha256 == found["sha256"]
    assert "Training res_att_unet: 2/2" in said.err


def test_training_stopped_by_the_clock_can_be_resumed(covseg, cases, tmp_path):
    out = tmp_path / "mine.safetensors"
    words = ("train", *NETWORK, "--cases", cases, "--out", out, *SMALL)
    said = covseg(*words, "--steps", "2000", "--minutes", "0.0101234")
    assert said.status == 0, said.err
    assert said.out.startswith("0.01 minutes are over")
    assert "--resume" in said.out
    assert not out.exists()
    assert (tmp_path / "mine.safetensors.lesion.state").exists()
    refused = covseg(*words, "--steps", "3", "--resume")
    assert refused.status == 1
    assert "other settings; give them, or start anew (the same command without --resume).\n" in refused.err
    assert "to resume from" not in refused.err
    (tmp_path / "mine.safetensors.lesion.state").write_bytes(b"")
    assert "is damaged; start anew (the same command without --resume).\n" in covseg(*words, "--resume").err


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def asked_to_end_in_the_second_step(request, monkeypatch):
    """Ctrl-C is pressed, or the system asks to end, as a cluster whose time is up."""
    step = Learner.step

    def pressed(self, number, *given):
        if number == 1:
            signal.raise_signal(request.param)
        return step(self, number, *given)

    monkeypatch.setattr(Learner, "step", pressed)


@pytest.mark.usefixtures("asked_to_end_in_the_second_step")
def test_training_asked_to_end_keeps_its_last_whole_step_and_can_be_resumed(covseg, cases, tmp_path):
    out = tmp_path / "mine.safetensors"
    words = ("train", *NETWORK, "--cases", cases, "--out", out, *SMALL, "--steps", "3", "--resume")
    said = covseg(*words)
    assert said.status == 130
    assert said.err.endswith(f"{out} is not finished; the same command with --resume goes on.\n{STOPPED}\n")
    assert read_tensors(tmp_path / "mine.safetensors.lesion.state")["step"] == 2
    assert covseg(*words).status == 0
    assert out.exists()


def test_where_no_checkpoint_can_be_made_nothing_hidden_is_named(covseg, cases, tmp_path, monkeypatch):
    def read_only(held, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", held.lock_file)

    words = ("train", *NETWORK, "--cases", cases, *BRIEF, "--out")
    said = covseg(*words, cases / "cases.json" / "x.safetensors")
    assert (said.status, said.err) == (1, f"{cases / 'cases.json'} is a file and not a folder; choose another place.\n")
    monkeypatch.setattr(FileLock, "acquire", read_only)
    said, out = covseg(*words, tmp_path / "x.safetensors"), tmp_path / "x.safetensors"
    assert (said.status, said.err) == (1, f"{out} is on a disk that can only be read; choose another place.\n")


def test_resuming_nothing_starts_and_says_so(covseg, cases, tmp_path):
    said = covseg("train", *NETWORK, "--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--resume")
    assert said.status == 0
    assert "to resume from" in said.err


def test_a_finished_checkpoint_is_replaced_only_when_asked(covseg, cases, tmp_path):
    out = tmp_path / "mine.safetensors"
    words = ("train", *NETWORK, "--cases", cases, "--out", out, *BRIEF)
    assert covseg(*words).status == 0
    before = out.read_bytes()
    refused = covseg(*words)
    assert (refused.status, refused.err) == (
        1,
        f"{out} is there already; choose another name, or have it replaced (--overwrite).\n",
    )
    resumed = covseg(*words, "--resume")
    assert resumed.status == 0
    assert f"{out} is trained already." in resumed.err
    assert out.read_bytes() == before
    assert covseg(*words, "--seed", "1", "--resume").status == 1
    assert out.read_bytes() == before
    assert covseg(*words, "--seed", "1", "--overwrite").status == 0
    assert out.read_bytes() != before


@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_a_checkpoint_of_another_ending_is_wrong_use(covseg, cases, tmp_path, verb):
    where = ("--cases", cases) if verb == "train" else ("--session", cases)
    said = covseg(verb, *NETWORK, *where, "--out", tmp_path / "mine.pt")
    assert said.status == 2
    assert "ends in .safetensors" in said.err


@pytest.mark.parametrize(
    ("verb", "option"),
    [("finetune", "--distil"), ("finetune", "--pull"), ("finetune", "--margin"), ("train", "--learning-rate")],
)
@pytest.mark.parametrize("number", ["inf", "nan"])
def test_what_is_no_number_to_compute_with_is_wrong_use(covseg, cases, tmp_path, verb, option, number):
    where = ("--cases", cases) if verb == "train" else ("--session", cases)
    said = covseg(verb, *NETWORK, *where, "--out", tmp_path / "mine.safetensors", option, number)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert option in said.err


def test_holding_out_whom_the_parent_was_taught_is_said(covseg, cases, tmp_path):
    parent, child = tmp_path / "parent.safetensors", tmp_path / "child.safetensors"
    words = ("train", *NETWORK, "--cases", cases, *BRIEF)
    assert "was trained on" not in covseg(*words, "--hold-out", "a", "--out", parent).err
    said = covseg(*words, "--from", parent, "--hold-out", "b", "--out", child)
    assert said.status == 0, said.err
    assert "parent was trained on b; held out now" in said.err


def test_an_unknown_patient_is_refused(covseg, cases, tmp_path):
    words = ("--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--hold-out", "nobody")
    said = covseg("train", *NETWORK, *words)
    assert said.status == 1
    assert "nobody" in said.err


def test_a_fold_is_held_out_of_training_and_is_all_that_is_evaluated(covseg, cases, own_checkpoint, tmp_path):
    out = tmp_path / "mine.safetensors"
    fold = ("--cases", cases, "--fold", "2", "--folds", "2", "--device", "cpu", "--json")
    said = covseg("train", *NETWORK, "--out", out, *BRIEF, "--scheme", "lesions", *fold)
    assert said.status == 0, said.err
    assert checkpoint.read(out).card.config["held_out"] == said.json["metrics"]["held_out"] == ["b"]
    assert said.json["trained_on"] == "1 patient or set: a"
    evaluated = covseg("evaluate", *NETWORK, "--checkpoint", out, *fold)
    assert evaluated.status == 0, evaluated.err
    assert [case["case"] for case in evaluated.json["results"][0]["cases"]] == ["b"]
    assert "was trained on" not in evaluated.err


@pytest.mark.parametrize(
    ("fold", "status", "words"),
    [
        (("--fold", "3", "--folds", "2"), 2, "no fold 3 of 2"),
        (("--fold", "1", "--folds", "2", "--hold-out", "a"), 2, "leave out --hold-out"),
        (("--fold", "1"), 1, "2 patients cannot be split into 3 folds"),
    ],
)
def test_a_fold_that_makes_no_sense_is_refused(covseg, cases, tmp_path, fold, status, words):
    said = covseg("train", *NETWORK, "--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, *fold)
    assert (said.status, said.out) == (status, "")
    assert words in said.err


def test_training_writes_a_log_that_tensorboard_reads(covseg, cases, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ("--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--log", tmp_path / "log")
    assert covseg("train", *NETWORK, *words).status == 0
    events = reader.EventAccumulator(str(tmp_path / "log" / "lesion"))
    events.Reload()
    assert {tag: [scalar.step for scalar in events.Scalars(tag)] for tag in events.Tags()["scalars"]} == {
        "loss": [1, 2],
        "learning rate": [1, 2],
    }


def test_a_log_without_tensorboard_is_refused_before_anything_is_done(covseg, cases, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = ("--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--log", tmp_path / "log")
    said = covseg("train", *NETWORK, *words)
    assert said.status == 1
    assert said.err.count("\n") == 1
    assert "napari-covseg[train]" in said.err


def test_a_pack_is_taken_wherever_a_folder_is(covseg, cases, own_checkpoint, tmp_path):
    pack, out = tmp_path / "all.npz", tmp_path / "mine.safetensors"
    packed = covseg("pack", "--cases", cases, "--out", pack, "--json")
    assert packed.status == 0, packed.err
    assert packed.json == {"pack": str(pack), "cases": 2, "patients": 2, "bytes": pack.stat().st_size, "notes": []}
    trained = covseg("train", *NETWORK, "--cases", pack, "--out", out, *BRIEF, "--scheme", "lesions", "--json")
    assert trained.status == 0, trained.err
    assert trained.json["trained_on"] == "2 patients or sets: a, b"
    said = covseg("evaluate", *NETWORK, "--checkpoint", out, "--cases", pack, "--device", "cpu", "--json")
    assert said.status == 0, said.err
    assert [case["case"] for case in said.json["results"][0]["cases"]] == ["a", "b"]


def test_training_packing_and_evaluating_tell_once_what_measuring_tells_of_a_label_map(
    covseg, cases, own_checkpoint, write_mask, tmp_path
):
    lesion = np.zeros((24, 20, 6))
    lesion[8:12, 8:12, 2:4], lesion[8, 8, 2] = 1, 7
    moved = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 5.0, -45], [0, 0, 0, 1]])
    for name in "ab":
        write_mask(cases / f"{name}_lesion.nii.gz", lesion, moved)
    said = covseg("measure", cases / "b_lesion.nii.gz", "--scan", cases / "b_ct.nii.gz")
    notes = [line for line in said.err.splitlines() if line.startswith("b_lesion.nii.gz")]
    assert ["holds 7" in notes[0], "another grid" in notes[1]] == [True, True]
    found, out = ("--cases", cases), tmp_path / "mine.safetensors"
    two_networks = ("--network", "res_att_unet,res_att_unet", "--checkpoint", f"{own_checkpoint},{own_checkpoint}")
    for words in (
        ("train", *NETWORK, *found, "--out", out, *BRIEF, "--hold-out", "b"),
        ("pack", *found, "--out", tmp_path / "few.npz", "--max-mb", "0.003"),
        ("evaluate", *two_networks, *found, "--device", "cpu"),
    ):
        said = covseg(*words)
        assert said.status == 0, said.err
        assert [line for line in said.err.splitlines() if line.startswith("b_lesion.nii.gz")] == notes


def test_a_pack_says_what_it_made_smaller(covseg, cases, tmp_path):
    said = covseg("pack", "--cases", cases, "--out", tmp_path / "all.npz", "--max-mb", "0.003")
    assert said.status == 0, said.err
    assert "of its 6 slices" in said.out
    assert (tmp_path / "all.npz").stat().st_size < 3000


def test_a_pack_of_one_case_is_told_as_one(covseg, cases, tmp_path):
    for file in cases.glob("b_*"):
        file.unlink()
    out = tmp_path / "all.npz"
    said = covseg("pack", "--cases", cases, "--out", out)
    assert said.out.startswith(f"{out}: 1 case of 1 patient or set, 0.0")


def test_a_pack_has_its_suffix(covseg, cases, tmp_path):
    said = covseg("pack", "--cases", cases, "--out", tmp_path / "all.zip")
    assert said.status == 2
    assert ".npz" in said.err


def test_finetuning_on_a_session(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    words = ("--session", session, "--out", out, "--checkpoint", own_checkpoint, "--steps", "2")
    said = covseg("finetune", *NETWORK, *words, "--json")
    assert said.status == 0, said.err
    parent = checkpoint.find("res_att_unet", own_checkpoint)
    assert said.json["parent"] == {"name": "untrained", "sha256": parent.sha256}
    assert said.json["slices"] == 2
    assert said.json["promoted"] is False
    assert said.json["gate"]["judged"] is False  # two slices next to each other: none can be held out
    beforehand, _, afterwards = said.err.partition(
        "Of the reviewed slices 2 teach, none judges: the corrected slices are"
    )
    assert "cannot be said" not in beforehand
    assert "cannot be said" in afterwards
    assert checkpoint.read(out).card.parent_sha256 == parent.sha256


def test_a_session_given_twice_teaches_once_and_that_is_said(covseg, session, own_checkpoint, tmp_path):
    link, bundle, out = tmp_path / "link", tmp_path / "bundle", tmp_path / "child.safetensors"
    link.symlink_to(session)
    assert covseg("export", session, "--to", "bundle", "--out", bundle).status == 0
    given = [word for folder in (session, f"{session}/", link, bundle) for word in ("--session", folder)]
    said = covseg("finetune", *NETWORK, *given, "--out", out, "--steps", "1", "--json")
    assert said.status == 0, said.err
    assert said.err.count("was given already; it counts once.") == 3
    card = checkpoint.read(out).card
    assert (said.json["slices"], len(card.sessions_sha256), len(card.scans_sha256)) == (2, 1, 1)
    assert "of 1 session;" in card.trained_on


def test_finetuning_shows_before_and_after(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    said = covseg("finetune", *NETWORK, "--session", session, "--out", out, "--steps", "1")
    assert said.status == 0, said.err
    assert "Dice before" in said.out
    assert "not promoted" in said.out
    assert "bundled sample" in said.out  # what it was asked about, in the table
    assert "older cases" not in said.out
    again = covseg("finetune", *NETWORK, "--session", session, "--out", out, "--steps", "1")
    assert again.status == 1
    assert "is there already" in again.err


def test_a_child_of_a_name_alone_is_in_the_list_and_one_of_a_file_is_not(covseg, session, own_checkpoint, tmp_path):
    words = ("finetune", *NETWORK, "--session", session, "--steps", "1")
    for out in ("mine", tmp_path / "other.safetensors"):
        said = covseg(*words, "--out", out, "--resume", "--json")
        assert said.status == 0, said.err
    assert checkpoint.named_path("other").parent == checkpoint.find("res_att_unet", "mine").path.parent
    listed = covseg("networks").out
    assert "mine (" in listed
    assert "other (" not in listed
    assert covseg("overrule", "mine", "--reason", "finds what the old one missed").status == 0
    again = covseg(*words, "--out", "mine")
    assert (again.status, "There is a checkpoint mine already" in again.err) == (1, True)
    assert covseg(*words, "--out", "con").status == 1
    assert covseg(*words, "--out", "mine.pt").status == 2
    assert covseg(*words, "--out", "./other").status == 2


def test_a_verdict_is_overruled_with_a_reason(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    words = ("--session", session, "--out", out, "--steps", "1", "--overrule", "finds what the old one missed")
    said = covseg("finetune", *NETWORK, *words, "--json")
    assert said.status == 0, said.err
    assert (said.json["promoted"], said.json["gate"]["promoted"]) == (True, False)
    assert [one.reason for one in lineage.decisions()] == ["finds what the old one missed"]


def test_the_list_of_networks_tells_what_a_gate_held_back_and_a_reader_overruled(covseg, untrained, no_weights):
    for name, gate in (("held", False), ("taken", False), ("passed", True)):
        said = {"metrics": {"gate": {"promoted": gate}}, "trained_on": name}  # or two files may be the same to the byte
        card = untrained.card.model_copy(update=said)
        kept = checkpoint.save(checkpoint.revived(untrained), card, untrained.path.with_name(f"{name}.safetensors"))
        if name == "taken":
            lineage.overrule(kept, "Dr A", "finds what the old one missed")
    told = " ".join(covseg("networks").out.replace("│", " ").split())
    assert "held (not promoted)" in told
    assert "taken (overruled)" in told
    assert "passed (" not in told


def test_the_list_of_networks_tells_whom_a_checkpoint_learned_from(covseg, untrained, no_weights):
    parent = untrained.sha256
    card = untrained.card.model_copy(update={"parent_sha256": parent, "metrics": {"gate": {"promoted": False}}})
    checkpoint.save(checkpoint.revived(untrained), card, untrained.path.with_name("child.safetensors"))
    told = " ".join(covseg("networks").out.replace("│", " ").split())
    assert f"{untrained.name}, child (from {untrained.name}, not promoted)" in told


def test_a_verdict_is_overruled_afterwards_and_that_is_taken_back(covseg, untrained, no_weights, tmp_path):
    card = untrained.card.model_copy(update={"metrics": {"gate": {"promoted": False, "words": "Worse."}}})
    held = checkpoint.save(checkpoint.revived(untrained), card, untrained.path.with_name("held.safetensors"))
    refused = covseg("overrule", "held", "--reason", " ")
    assert (refused.status, lineage.decisions()) == (1, ())
    assert covseg("overrule", held.path, "--reason", "no", "--take-back").status == 1  # nothing was decided yet
    said = covseg("overrule", "held", "--reason", "finds what the old one missed", "--json")
    assert said.status == 0, said.err
    assert (said.json["promoted"], said.json["sha256"]) == (True, held.sha256)
    assert [one.reason for one in lineage.decisions()] == ["finds what the old one missed"]
    assert lineage.is_promoted(held)
    assert "promoted already" in covseg("overrule", "held", "--reason", "once more").err
    assert len(lineage.decisions()) == 1
    assert covseg("overrule", held.path, "--reason", "it does not", "--take-back").status == 0
    assert not lineage.is_promoted(held)
    for name in (untrained.name, tmp_path / "none.safetensors"):
        assert covseg("overrule", name, "--reason", "why not").status == 1


def test_what_was_learned_and_cannot_be_written_is_gone_on_with(covseg, session, own_checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "child")

    words = ("finetune", *NETWORK, "--session", session, "--out", tmp_path / "child.safetensors", "--steps", "1")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", full)
        failed = covseg(*words)
    assert failed.status == 1
    assert failed.err.endswith(
        "is full; make room on it and try again. What it learned is kept; --resume goes on with it.\n"
    )
    resumed = covseg(*words, "--resume")
    assert resumed.status == 0, resumed.err
    assert "learning, loss" not in resumed.err


@pytest.mark.usefixtures("asked_to_end_in_the_second_step")
def test_a_fine_tuning_stopped_with_ctrl_c_says_how_to_go_on(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    said = covseg("finetune", *NETWORK, "--session", session, "--out", out, "--steps", "3")
    assert said.status == 130
    assert said.err.endswith(f"{out} is not finished; the same command with --resume goes on.\n{STOPPED}\n")


def test_a_child_that_is_kept_elsewhere_is_told_and_is_not_what_was_asked_for(
    covseg, session, own_checkpoint, tmp_path, isolated_home, monkeypatch
):
    def gone(out):
        raise OSError(f"{out.parent} went away.")

    monkeypatch.setattr(saving, "refuse_moved", gone)
    words = ("--session", session, "--out", tmp_path / "child.safetensors", "--steps", "1", "--json")
    said = covseg("finetune", *NETWORK, *words)
    assert said.status == 1
    assert checkpoint.find("res_att_unet", said.json["name"]).path.is_relative_to(isolated_home)
    assert f"kept as {said.json['checkpoint']} instead" in said.err


def test_a_verdict_is_told_also_where_the_reason_against_it_cannot_be_kept(
    covseg, session, untrained, no_weights, tmp_path
):
    (untrained.path.parent / lineage.DECISIONS).mkdir()
    out = tmp_path / "child.safetensors"
    words = ("--session", session, "--out", out, "--steps", "1", "--overrule", "finds what the old one missed")
    said = covseg("finetune", *NETWORK, *words, "--json")
    assert said.status == 1
    assert "the reason could not be kept" in said.err
    assert said.json["promoted"] is False
    assert checkpoint.read(out).sha256 == said.json["sha256"]


def test_nothing_is_overruled_where_the_gate_promotes(covseg, session, own_checkpoint, tmp_path, monkeypatch):
    better = Verdict(True, True, "Better.", (), (), 1, 1)
    monkeypatch.setattr(finetune, "judged", lambda *_, **__: better)
    words = ("--session", session, "--out", tmp_path / "child.safetensors", "--steps", "1")
    said = covseg("finetune", *NETWORK, *words, "--overrule", "in any case", "--json")
    assert said.status == 0, said.err
    assert said.json["promoted"]
    assert lineage.decisions() == ()


def test_a_bundle_is_taken_by_training_finetuning_and_evaluation(covseg, session, own_checkpoint, tmp_path):
    bundle = tmp_path / "bundle"
    said = covseg("export", session, "--to", "bundle", "--out", bundle, "--json")
    assert said.status == 0, said.err
    (export,) = said.json["exports"]
    assert export["slices_reviewed"] == 2
    entry = json.loads((bundle / "cases.json").read_text())[export["case"]]
    assert entry["slices"] == [one["slice"] for one in entry["marks"]] == [3, 4]
    trained = covseg("train", *NETWORK, "--cases", bundle, "--out", tmp_path / "t.safetensors", *BRIEF)
    assert trained.status == 0, trained.err
    words = ("--session", bundle, "--replay", bundle, "--out", tmp_path / "f.safetensors", "--steps", "1", "--json")
    tuned = covseg("finetune", *NETWORK, *words)
    assert tuned.status == 0, tuned.err
    assert tuned.json["slices"] == 2
    evaluated = covseg("evaluate", *NETWORK, "--cases", bundle, "--device", "cpu", "--json")
    assert evaluated.status == 0, evaluated.err
    assert [case["case"] for case in evaluated.json["results"][0]["cases"]] == [export["case"]]


def test_a_session_and_its_case_in_a_bundle_are_of_one_patient(covseg, session, own_checkpoint, tmp_path):
    bundle = tmp_path / "bundle"
    assert covseg("export", session, "--to", "bundle", "--out", bundle).status == 0
    patients = set()
    for name, taught in (("s", session), ("b", bundle)):
        out = tmp_path / f"{name}.safetensors"
        said = covseg("finetune", *NETWORK, "--session", taught, "--out", out, "--steps", "1")
        assert said.status == 0, said.err
        patients |= {one.patients for one in checkpoint.read(out).card.learned.values() if one.taught == (3, 4)}
    ((patient,),) = patients
    assert patient.startswith("patient-")


def test_a_bundle_tells_which_checkpoints_drew_on_the_reviewed_slices(covseg, session, tmp_path):
    with closing(ReviewSession.resume(session, "reader")) as opened:
        for index in (2, 3):
            opened.unmark(index)
        for network, slices in (("masc_net", (1, 2)), ("res_att_unet", (2, 3)), ("chs_net", (0, 5))):
            for index in slices:
                drawn = np.full(opened.labels.values.shape[1:], 1 + len(network) % 3, np.uint8)
                made_by = Provenance(network, network, "Jane Doe", network[0] * 64)
                opened.propose(index, drawn, network, network, made_by)
        for index in (2, 3):
            opened.mark_reviewed(index)
    bundle = tmp_path / "bundle"
    assert covseg("export", session, "--to", "bundle", "--out", bundle).status == 0
    (entry,) = json.loads((bundle / "cases.json").read_text()).values()
    assert entry["proposed_by"] == [
        {"network": network, "checkpoint_sha256": network[0] * 64} for network in ("masc_net", "res_att_unet")
    ]
    assert "Jane" not in (bundle / "cases.json").read_text()


def test_two_sessions_of_one_scan_are_not_two_cases(covseg, session, tmp_path):
    words = ("export", session, session, "--to", "bundle", "--out", tmp_path / "bundle", "--overwrite", "--json")
    said = covseg(*words)
    assert said.status == 1
    assert (len(said.json["exports"]), len(said.json["failed"])) == (1, 1)
    assert "another session is of" in said.err


def test_a_session_whose_scan_moved_or_changed_teaches_nothing(
    covseg, session, scan, own_checkpoint, tmp_path, write_scan
):
    words = ("finetune", *NETWORK, "--session", session, "--out", tmp_path / "child.safetensors", "--steps", "1")
    scan.unlink()
    gone = covseg(*words)
    assert gone.status == 1
    assert str(scan) in gone.err
    write_scan(scan, (24, 20, 7))
    changed = covseg(*words)
    assert changed.status == 1
    assert "is not the scan" in changed.err


def test_an_export_is_the_corrected_mask_on_the_scans_grid(covseg, session, scan, tmp_path):
    said = covseg("export", session, "--to", "nifti", "--out", tmp_path / "masks", "--json")
    assert said.status == 0, said.err
    (export,) = said.json["exports"]
    file = tmp_path / "masks" / "case_lesion.nii.gz"
    assert export == {"session": str(session), "file": str(file), "slices_reviewed": 2, "signed": False}
    image = nib.load(file)
    assert np.array_equal(image.affine, nib.load(scan).affine)
    found = np.asarray(image.dataobj)
    assert (found == 1).sum() == 32
    assert set(np.flatnonzero(found.any(axis=(0, 1)))) == {2, 3}  # slices 3 and 4 of 6 from the apex


def test_an_export_says_that_nothing_is_marked_and_is_written_all_the_same(covseg, session, tmp_path):
    assert "Nothing is marked" not in covseg("export", session, "--to", "nifti", "--out", tmp_path / "masks").err
    held = ReviewSession.resume(session, "Dr A")
    held.absorb(np.zeros_like(held.labels.values), "eraser", "erase all")
    said = covseg("export", session, "--to", "nifti", "--out", tmp_path / "empty")
    held.close()
    assert (said.status, said.err) == (0, "Nothing is marked in case_lesion.nii.gz: it holds no lesion of any class.\n")
    assert not np.asarray(nib.load(tmp_path / "empty" / "case_lesion.nii.gz").dataobj).any()


def test_two_sessions_of_one_case_do_not_overwrite_each_other(covseg, session, tmp_path):
    said = covseg("export", session, session, tmp_path / "none", "--to", "nifti", "--out", tmp_path / "masks", "--json")
    assert said.status == 1
    assert len(said.json["exports"]) == 1
    assert len(said.json["failed"]) == 2
    assert "called case" in said.err


def test_a_session_open_elsewhere_is_said(covseg, session, tmp_path):
    other = sqlite3.connect(session / "session.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        said = covseg("export", session, "--to", "nifti", "--out", tmp_path)
    finally:
        other.close()
    assert said.status == 1
    assert "another window" in said.err


def test_a_session_open_in_a_window_is_exported_as_it_stands(covseg, session, tmp_path):
    held = ReviewSession.resume(session, "Dr A")
    values = held.labels.values.copy()
    values[0, 5:7, 5:7] = 2
    held.absorb(values, "brush", "brush")
    said = covseg("export", session, "--to", "nifti", "--out", tmp_path / "masks")
    held.close()
    assert said.status == 0, said.err
    assert (np.asarray(nib.load(tmp_path / "masks" / "case_lesion.nii.gz").dataobj) == 2).sum() == 4


def test_a_verdict_is_not_overruled_without_one_and_nothing_is_learned_first(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    words = ("--session", session, "--out", out, "--steps", "1", "--overrule", " ")
    refused = covseg("finetune", *NETWORK, *words)
    assert refused.status == 1
    assert "in a few words why" in refused.err
    assert not list(tmp_path.glob("child*"))


@pytest.mark.parametrize("wrong", [("--replay", "nowhere"), ("--overrule", " ")])
def test_what_is_wrong_beside_the_sessions_is_said_before_their_scans_are_read(
    covseg, session, own_checkpoint, tmp_path, monkeypatch, wrong
):
    monkeypatch.setattr(sessions, "scan_of", None)
    said = covseg("finetune", *NETWORK, "--session", session, "--out", tmp_path / "child.safetensors", *wrong)
    assert said.status == 1
    assert ("nowhere" if "nowhere" in wrong else "in a few words why") in said.err
