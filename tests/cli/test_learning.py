"""`covseg train`, `finetune` and `export`: the loop from cases to a checkpoint and from sessions to masks."""

import json
import sqlite3

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.networks import checkpoint

NETWORK = ("--network", "res_att_unet")
BRIEF = ("--width", "compact", "--steps", "2", "--batch", "1", "--device", "cpu")


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
    words = ("train", *NETWORK, "--cases", cases, "--out", out, *BRIEF)
    said = covseg(*words, "--minutes", "0.01", "--steps", "40")
    assert said.status == 0, said.err
    assert "--resume" in said.out
    assert not out.exists()
    assert (tmp_path / "mine.safetensors.state").exists()
    refused = covseg(*words, "--resume")
    assert refused.status == 1
    assert "other settings" in refused.err


def test_resuming_nothing_starts_and_says_so(covseg, cases, tmp_path):
    said = covseg("train", *NETWORK, "--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--resume")
    assert said.status == 0
    assert "to resume from" in said.err


def test_an_unknown_patient_is_refused(covseg, cases, tmp_path):
    words = ("--cases", cases, "--out", tmp_path / "m.safetensors", *BRIEF, "--hold-out", "nobody")
    said = covseg("train", *NETWORK, *words)
    assert said.status == 1
    assert "nobody" in said.err


def test_finetuning_on_a_session(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    words = ("--session", session, "--out", out, "--checkpoint", own_checkpoint, "--steps", "2")
    said = covseg("finetune", *NETWORK, *words, "--json")
    assert said.status == 0, said.err
    parent = checkpoint.find("res_att_unet", own_checkpoint)
    assert said.json["parent"] == {"name": "untrained", "sha256": parent.sha256}
    assert said.json["slices"] == 2
    assert said.json["metrics"]["on_the_learned_slices"].keys() == {"before", "after"}
    assert checkpoint.read(out).card.parent_sha256 == parent.sha256


def test_finetuning_shows_before_and_after(covseg, session, own_checkpoint, tmp_path):
    out = tmp_path / "child.safetensors"
    said = covseg("finetune", *NETWORK, "--session", session, "--out", out, "--steps", "1")
    assert said.status == 0, said.err
    assert "Dice before" in said.out
    assert "ggo" in said.out


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
