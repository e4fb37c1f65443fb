"""`covseg evaluate`: the contract's JSON, tables for people, and what is refused."""

import json

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.pseudonyms import pseudonym
from napari_covseg.measure import SCORES
from napari_covseg.networks import Card, checkpoint, load
from napari_covseg.networks.learned import Learned

EVALUATE = ("evaluate", "--network", "res_att_unet")
pytestmark = pytest.mark.usefixtures("own_checkpoint")


@pytest.fixture
def cases(tmp_path, write_scan, write_mask):
    """Two patients: one with every class looked for and a lung, one with effusion alone."""
    folder = tmp_path / "cases"
    folder.mkdir()
    lesion = np.zeros((24, 20, 6))
    lesion[8:12, 8:12, 2:4] = 1
    lung = np.zeros((24, 20, 6))
    lung[5:-5, 5:-5] = 1
    for name in ("a", "b"):
        write_scan(folder / f"{name}_ct.nii.gz")
        write_mask(folder / f"{name}_lesion.nii.gz", lesion if name == "a" else lesion * 3)
    write_mask(folder / "a_lung.nii.gz", lung)
    entries = {"a": {"patient": "p1", "slices": [3, 4]}, "b": {"patient": "p2", "slices": [3]}}
    entries["b"]["annotated"] = ["effusion"]
    (folder / "cases.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def binary(tmp_path):
    """A checkpoint that knows infection and lung, of random weights."""
    import torch

    torch.manual_seed(0)
    card = Card(network="chs_net", width="compact", scheme=("infection",), trained_on="2 patients or sets: p2, p9")
    return checkpoint.save(load("chs_net").build(card.scheme, "compact"), card, tmp_path / "binary.safetensors").path


def test_json_is_the_contract(covseg, cases, own_checkpoint):
    said = covseg(*EVALUATE, "--cases", cases, "--json", "--device", "cpu")
    assert said.status == 0, said.err
    assert said.json.keys() == {"results"}
    (result,) = said.json["results"]
    keys = {"network", "checkpoint", "sha256", "cases", "pooled", "case_mean", "slice_mean", "device", "seconds"}
    assert result.keys() == keys
    assert (result["network"], result["checkpoint"]) == ("res_att_unet", own_checkpoint)
    first, second = result["cases"]
    assert first.keys() == {"case", "patient", "lesion", "ggo", "consolidation", "effusion"}
    assert second.keys() == {"case", "patient", "effusion"}
    assert first["lesion"].keys() == {*SCORES, "hd95_mm", "false_positive_ml"}
    assert [result["pooled"][name]["cases"] for name in ("lesion", "effusion")] == [1, 2]
    assert [result["case_mean"][name]["cases"] for name in ("lesion", "effusion")] == [1, 1]
    assert [result["slice_mean"][name]["slices"] for name in ("lesion", "effusion")] == [2, 1]
    assert result["case_mean"]["consolidation"]["dice"] is None
    assert "Evaluating untrained: 2/2" in said.err


def test_per_case_adds_a_table(covseg, cases):
    words = (*EVALUATE, "--cases", cases, "--device", "cpu")
    short, long = covseg(*words), covseg(*words, "--per-case")
    assert short.status == long.status == 0
    assert "voxels of 2 cases" in short.out
    assert "mean of 2 slices" in short.out
    assert "pixel size" not in short.out
    assert "p2" not in short.out
    assert "case by case" in long.out
    assert "p2" in long.out


def test_whom_a_fine_tuned_network_or_its_parents_saw_is_told_and_that_not_all_are_named(covseg, cases, tmp_path):
    import torch

    def said(name, trained_on, **learned):
        torch.manual_seed(0)
        card = Card(network="res_att_unet", width="compact", scheme=("ggo",), trained_on=trained_on, **learned)
        path = checkpoint.save(load("res_att_unet").build(card.scheme, "compact"), card, tmp_path / name).path
        return covseg(*EVALUATE, "--checkpoint", path, "--cases", cases, "--device", "cpu").err

    every = said("all.safetensors", "2 patients or sets: p2, p9")
    assert "all was trained on p2" in every
    assert "does not name all" not in every
    child = said("child.safetensors", "1 reviewed slice of 1 session; before that, 2 patients or sets: p2, p9")
    assert "child was trained on p2" in child
    assert "child does not name all patients who taught it: others here may be among them" in child
    by_pseudonym = {"x": Learned(taught=(1,), patients=(pseudonym("patient", "p1"),))}
    assert "own was trained on p1" in said("own.safetensors", "1 reviewed slice of 1 session", learned=by_pseudonym)
    assert "old does not name all patients who taught it: some here may be" in said("old.safetensors", "1 session")


def learned_from(folder, slices, judged=()):
    """What a card records of a folder's first case, of which some slices taught."""
    case = find_cases([folder])[0]
    scan, *_ = read_case(case)
    seen = Learned.of([number - 1 for number in slices], [number - 1 for number in judged], scan.slices_sha256)
    return {scan.voxels_sha256: seen}


def test_scans_that_taught_are_known_under_another_patients_name(covseg, cases, tmp_path):
    import torch

    (cases / "cases.json").write_text('{"a": {"patient": "new", "slices": [3, 4]}, "b": {"patient": "other"}}')
    other = nib.load(cases / "b_ct.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(other.dataobj) + 1, other.affine), cases / "b_ct.nii.gz")

    def said(learned, patients="new,other"):
        torch.manual_seed(0)
        card = Card(network="res_att_unet", width="compact", scheme=("ggo",), trained_on="1 patient or set: p7")
        module = load("res_att_unet").build(card.scheme, "compact")
        path = checkpoint.save(
            module, card.model_copy(update={"learned": learned}), tmp_path / "theirs.safetensors"
        ).path
        words = (*EVALUATE, "--checkpoint", path, "--cases", cases, "--patients", patients, "--device", "cpu", "--json")
        told = covseg(*words)
        assert told.status == 0, told.err
        return [line for line in told.err.splitlines() if "taught it" in line]

    (sentence,) = said(learned_from(cases, [4, 5]))
    assert sentence == (
        "theirs: 1 case holds slices that taught it: a; what it scores there says little of new patients."
    )
    assert not said(learned_from(cases, [5, 6]))  # which do not count here
    assert not said(learned_from(cases, [5], judged=[3, 4]))
    assert not said(learned_from(cases, [3]), patients="other")
    unknown = {scan: seen.model_copy(update={"taught": None}) for scan, seen in learned_from(cases, [1]).items()}
    assert said(unknown)
    whole_third, whole_fourth = (learned_from(cases, [number]) for number in (3, 4))
    for part in ("ct", "lesion", "lung"):
        cut = nib.load(cases / f"a_{part}.nii.gz").slicer[:, :, :-1]  # the apex is cut off: its slice 4 is the third
        nib.save(nib.Nifti1Image(np.asarray(cut.dataobj).copy(), cut.affine), cases / f"a_{part}.nii.gz")
    assert said(whole_fourth)
    assert not said(whole_third)
    (sentence,) = said({})
    assert "theirs does not record which slices taught it" in sentence


def test_some_patients_only(covseg, cases):
    for words, names in ((("p2",), ["b"]), (("p2,p1",), ["a", "b"]), (("p2", "--patients", "p1"), ["a", "b"])):
        said = covseg(*EVALUATE, "--cases", cases, "--patients", *words, "--json", "--device", "cpu")
        assert [case["case"] for case in said.json["results"][0]["cases"]] == names


def test_a_patient_that_there_is_not_is_named(covseg, cases):
    said = covseg(*EVALUATE, "--cases", cases, "--patients", "p1,nobody", "--device", "cpu")
    assert said.status == 1
    assert "nobody" in said.err
    assert "p1" not in said.err


@pytest.mark.parametrize("separator", [",", " --{} "])
def test_two_networks_each_with_its_checkpoint(covseg, cases, own_checkpoint, binary, separator):
    networks = "--network chs_net" + separator.format("network") + "res_att_unet"
    weights = f"--checkpoint {binary}" + separator.format("checkpoint") + own_checkpoint
    words = (*networks.split(), *weights.split())
    said = covseg("evaluate", *words, "--cases", cases, "--json", "--device", "cpu")
    assert said.status == 0, said.err
    first, second = said.json["results"]
    assert [(one["network"], one["checkpoint"]) for one in (first, second)] == [
        ("chs_net", "binary"),
        ("res_att_unet", own_checkpoint),
    ]
    assert first["pooled"].keys() == {"lesion", "lung"}
    assert "lung" not in second["pooled"]
    (difference,) = said.json["differences"]
    expected = first["pooled"]["lesion"]["dice"] - second["pooled"]["lesion"]["dice"]  # one case: the mean is its own
    assert difference["mean"] == pytest.approx(expected, abs=2e-6)
    assert (difference["first"], difference["second"], difference["class"]) == ("chs_net", "res_att_unet", "lesion")
    assert (difference["low"], difference["cases"], difference["patients"]) == (None, 1, 1)


def test_a_network_against_its_own_child_is_told_apart_by_checkpoint(covseg, cases, own_checkpoint, untrained_file):
    child = untrained_file.with_name("child.safetensors")
    child.write_bytes(untrained_file.read_bytes())
    words = ("evaluate", "--network", "res_att_unet,res_att_unet", "--checkpoint", f"{own_checkpoint},{child}")
    said = covseg(*words, "--cases", cases, "--device", "cpu")
    assert said.status == 0, said.err
    assert "res_att_unet:untrained - res_att_unet:child" in said.out
    assert "+0.000" in said.out


def test_patients_that_were_taught_are_said(covseg, cases, binary):
    words = ("evaluate", "--network", "chs_net", "--checkpoint", binary, "--cases", cases, "--device", "cpu")
    assert "binary was trained on p2;" in covseg(*words).err
    assert "trained on" not in covseg(*words, "--patients", "p1").err


def test_a_network_that_knows_nothing_annotated_here_has_failed(covseg, cases, binary):
    words = ("evaluate", "--network", "chs_net", "--checkpoint", binary, "--cases", cases, "--patients", "p2")
    said = covseg(*words, "--json", "--device", "cpu")
    assert said.status == 1
    assert "nothing was scored" in said.err
    assert said.json["results"][0]["pooled"] == {}


def test_pictures_are_measured_at_a_nominal_pixel_and_that_is_said(covseg, tmp_path):
    for number in (1, 2):
        imageio.imwrite(tmp_path / f"{number}_image.png", np.full((24, 20), 40 * number, np.uint8))
        imageio.imwrite(tmp_path / f"{number}_label.png", np.eye(24, 20, dtype=np.uint8) * 4)
    (tmp_path / "cases.json").write_text(json.dumps({"*": {"annotated": ["infection"], "patient": "x"}}))
    said = covseg(*EVALUATE, "--cases", tmp_path, "--device", "cpu")
    assert said.status == 0, said.err
    assert "1 mm is assumed" in said.out


@pytest.mark.parametrize(
    "words",
    [
        ("--network", "nobody"),
        ("--network", "res_att_unet,nobody"),
        ("--network", "res_att_unet", "--checkpoint", "one,two"),
        ("--network", "res_att_unet,chs_net", "--checkpoint", "one"),
    ],
)
def test_wrong_use(covseg, cases, words):
    said = covseg("evaluate", *words, "--cases", cases)
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "covseg evaluate --help" in said.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--network", "res_att_unet", "--cases", "nowhere"), "nowhere"),
        (("--network", "chs_net"), "chs_net"),
        (("--network", "chs_net", "--checkpoint", "nothing.safetensors"), "nothing.safetensors"),
    ],
)
def test_a_failure_is_one_sentence(covseg, cases, words, named):
    said = covseg("evaluate", "--cases", cases, *words)
    assert (said.status, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert named in said.err
