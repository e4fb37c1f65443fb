"""`covseg segment`: label maps on the inputs' own grids, whatever happens."""

import os
import signal
import subprocess
import sys
import time

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest
import torch

from napari_covseg.networks import Card, checkpoint, load

NETWORK = ("--network", "res_att_unet")
pytestmark = pytest.mark.usefixtures("own_checkpoint")


def test_the_label_map_is_on_the_inputs_grid(covseg, scan, tmp_path):
    said = covseg("segment", scan, *NETWORK, "--slices", "2:3", "--out", tmp_path / "o", "--json")
    assert said.status == 0, said.err
    (output,) = said.json["outputs"]
    assert output["input"] == str(scan)
    assert output["lesion"] == str(tmp_path / "o" / "case_ct_res_att_unet_lesion.nii.gz")
    assert output["lung"] is None
    assert output["ml"].keys() == {"ggo", "consolidation", "effusion", "infection"}
    image = nib.load(output["lesion"])
    assert np.array_equal(image.affine, nib.load(scan).affine)
    assert image.get_data_dtype() == np.uint8
    values = np.asarray(image.dataobj)
    voxel_ml = 2 * 2 * 5 / 1000
    assert output["ml"]["ggo"] == pytest.approx((values == 1).sum() * voxel_ml, abs=1e-3)


def test_slices_count_from_the_apex(covseg, scan, tmp_path):
    """The file's last slice is the highest, so slices 2 and 3 are its fifth and fourth of six."""
    covseg("segment", scan, *NETWORK, "--slices", "2:3", "--out", tmp_path)
    values = np.asarray(nib.load(tmp_path / "case_ct_res_att_unet_lesion.nii.gz").dataobj)
    assert set(np.flatnonzero(values.any(axis=(0, 1)))) == {3, 4}


def test_slices_past_the_scan_are_refused(covseg, scan, tmp_path):
    said = covseg("segment", scan, *NETWORK, "--slices", "5:7", "--out", tmp_path / "o")
    assert said.status == 1
    assert "has 6 slices" in said.err
    assert not list((tmp_path / "o").iterdir())


def test_what_is_finished_is_kept_unless_told_otherwise(covseg, scan, tmp_path, write_mask):
    done = write_mask(tmp_path / "case_ct_res_att_unet_lesion.nii.gz", np.full((24, 20, 6), 2))
    words = ("segment", scan, *NETWORK, "--slices", "3:3", "--out", tmp_path, "--json")
    said = covseg(*words)
    assert said.status == 0
    assert "--overwrite" in said.err
    (output,) = said.json["outputs"]
    assert output["skipped"] is True
    assert output["ml"]["consolidation"] == pytest.approx(24 * 20 * 6 * 0.02)
    (again,) = covseg(*words, "--overwrite").json["outputs"]
    assert "skipped" not in again
    assert (np.asarray(nib.load(done).dataobj) == 2).sum() < 24 * 20 * 6


def test_a_folder_of_nifti_leaves_its_label_maps_out(covseg, tmp_path, write_scan, write_mask):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a_ct", "b"):
        write_scan(folder / f"{name}.nii.gz")
    for name in ("a_lesion", "a_lung"):
        write_mask(folder / f"{name}.nii.gz", np.zeros((24, 20, 6)))
    said = covseg("segment", folder, *NETWORK, "--slices", "3:3", "--out", folder, "--json")
    assert [os.path.basename(each["input"]) for each in said.json["outputs"]] == ["a_ct.nii.gz", "b.nii.gz"]


def test_one_bad_input_does_not_stop_the_others(covseg, scan, tmp_path):
    bad, picture = tmp_path / "bad.nii.gz", tmp_path / "slice.png"
    bad.write_bytes(b"not gzip")
    picture.write_bytes(b"not yet")
    words = ("segment", bad, scan, picture, tmp_path / "gone.nii", *NETWORK, "--slices", "3:3", "--out", tmp_path / "o")
    said = covseg(*words, "--json")
    assert said.status == 1
    assert [each["input"] for each in said.json["outputs"]] == [str(scan)]
    assert {each["input"] for each in said.json["failed"]} == {str(bad), str(picture), str(tmp_path / "gone.nii")}
    assert all(name in said.err for name in ("bad.nii.gz", "slice.png", "gone.nii"))


def test_two_inputs_of_one_name_are_wrong_use(covseg, scan, tmp_path, write_scan):
    (tmp_path / "other").mkdir()
    other = write_scan(tmp_path / "other" / scan.name)
    said = covseg("segment", scan, other, *NETWORK, "--out", tmp_path / "o")
    assert said.status == 2
    assert "case_ct_res_att_unet_lesion.nii.gz" in said.err


def test_a_missing_checkpoint_is_named(covseg, scan):
    said = covseg("segment", scan, *NETWORK, "--checkpoint", "nobody")
    assert said.status == 1
    assert "nobody" in said.err


def test_a_checkpoint_may_be_a_file(covseg, scan, tmp_path, untrained_file):
    words = ("--checkpoint", untrained_file, "--slices", "3:3", "--out", tmp_path)
    assert covseg("segment", scan, *NETWORK, *words).status == 0


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as SIGINT")
def test_ctrl_c_leaves_no_file(tmp_path, write_scan, lps_mm):
    deep = write_scan(tmp_path / "deep.nii.gz", (24, 20, 400), lps_mm)
    words = ["segment", str(deep), *NETWORK, "--out", str(tmp_path / "o")]
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_covseg", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite begun with `&` has it ignored
    )
    assert process.stderr is not None
    assert "1/400" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("Stopped;")
    assert "Traceback" not in err
    assert not list((tmp_path / "o").iterdir())


def test_a_real_dicom_series(covseg, covseg_data, tmp_path):
    folder = covseg_data / "dicom" / "lung_dx_a0002"
    said = covseg("segment", folder, *NETWORK, "--slices", "10:10", "--out", tmp_path, "--json")
    assert said.status == 0, said.err
    image = nib.load(said.json["outputs"][0]["lesion"])
    assert image.shape == (512, 512, 30)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_a_map_of_some_slices_never_passes_for_the_whole(covseg, scan, tmp_path, own_checkpoint):
    covseg("segment", scan, *NETWORK, "--slices", "2:3", "--out", tmp_path)
    part = (tmp_path / "case_ct_res_att_unet_lesion.nii.gz").read_bytes()
    whole = covseg("segment", scan, *NETWORK, "--out", tmp_path)
    assert whole.status == 1
    assert "slices 2:3 only" in whole.err
    assert (tmp_path / "case_ct_res_att_unet_lesion.nii.gz").read_bytes() == part
    assert covseg("segment", scan, *NETWORK, "--slices", "2:3", "--out", tmp_path).status == 0
    assert covseg("segment", scan, *NETWORK, "--out", tmp_path, "--overwrite").status == 0
    assert covseg("segment", scan, *NETWORK, "--slices", "2:3", "--out", tmp_path).status == 0
    assert (tmp_path / "case_ct_res_att_unet_lesion.nii.gz").read_bytes() != part


def test_a_folder_that_cannot_be_is_found_before_the_work(covseg, scan, tmp_path, own_checkpoint):
    (tmp_path / "file").write_text("")
    said = covseg("segment", scan, *NETWORK, "--out", tmp_path / "file" / "sub")
    assert said.status == 1
    assert "Segmenting" not in said.err


def test_a_picture_becomes_a_picture_of_labels(covseg, own_checkpoint, tmp_path):
    """CLI.md: `.png` for a PNG slice, of the same size and on the same pixels."""
    grey = np.zeros((40, 56), dtype=np.uint8)
    grey[8:30, 10:40] = np.arange(30, dtype=np.uint8) * 8
    imageio.imwrite(tmp_path / "slice.png", grey)
    words = ("segment", tmp_path / "slice.png", *NETWORK, "--checkpoint", own_checkpoint, "--out", tmp_path / "out")
    said = covseg(*words, "--window=-600/1500", "--json")
    assert said.status == 0, said.err
    (output,) = said.json["outputs"]
    file = tmp_path / "out" / "slice_res_att_unet_lesion.png"
    assert output["lesion"] == str(file)
    labels = imageio.imread(file)
    assert labels.shape == grey.shape
    assert labels.dtype == np.uint8
    ml = sum(output["ml"].values())
    assert np.count_nonzero(labels) / 1000 == pytest.approx(ml, abs=1e-3)
    again = covseg(*words, "--window=-600/1500", "--json")
    assert again.json["outputs"][0]["skipped"]


def test_probabilities_are_written_in_per_cent_and_fit_the_labels(covseg, scan, tmp_path):
    words = ("segment", scan, *NETWORK, "--slices", "2:4", "--out", tmp_path / "o", "--probabilities", "--json")
    said = covseg(*words)
    assert said.status == 0, said.err
    (output,) = said.json["outputs"]
    assert output["probabilities"].keys() == {"ggo", "consolidation", "effusion"}
    labels = np.asarray(nib.load(output["lesion"]).dataobj)
    percent = [
        np.asarray(nib.load(output["probabilities"][name]).dataobj) for name in ("ggo", "consolidation", "effusion")
    ]
    assert all(each.min() >= 0 and each.max() <= 100 for each in percent)
    assert not any(each[..., :2].any() for each in percent)  # slices that were not asked for, from the other end
    assert sum(each.max() for each in percent) > 0
    for value, each in enumerate(percent, start=1):
        assert (each[labels == value] >= 25).all()  # the most probable of four
    (again,) = covseg(*words).json["outputs"]
    assert again["skipped"] is True
    assert again["probabilities"] == output["probabilities"]


def test_lungs_nobody_can_draw_are_refused_before_the_work(covseg, scan, tmp_path):
    said = covseg("segment", scan, *NETWORK, "--out", tmp_path / "o", "--lungs")
    assert said.status == 1
    assert "knows the lung" in said.err
    assert not (tmp_path / "o").exists()


def test_lungs_are_drawn_by_a_network_that_knows_them(covseg, scan, tmp_path, isolated_home):
    torch.manual_seed(0)
    scheme = ("ggo", "consolidation", "effusion")
    card = Card(network="covid_segnet", width="compact", scheme=scheme, trained_on="nothing")
    module = load("covid_segnet").build(scheme, "compact")
    checkpoint.save(module, card, isolated_home / checkpoint.OWN_FOLDER / "lungs.safetensors")
    said = covseg("segment", scan, *NETWORK, "--slices", "3:3", "--out", tmp_path / "o", "--lungs", "--json")
    assert said.status == 0, said.err
    assert said.json["outputs"][0]["lung"] == str(tmp_path / "o" / "case_ct_res_att_unet_lung.nii.gz")
    assert set(np.unique(np.asarray(nib.load(said.json["outputs"][0]["lung"]).dataobj))) <= {0, 1}
