"""Every bad scan, by every verb that opens one: exit code 1, one sentence that names it, nothing written."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

from napari_covseg.cli import review
from napari_covseg.io import read_volume
from napari_covseg.review import ReviewSession
from napari_covseg.workbench import Workbench
from tests.io.series import all_slices, moved_by, numbers, one_slice, series_in

LPS = np.diag([-0.7, -0.7, 2.5, 1.0])
HU = np.random.default_rng(0).integers(-1000, 500, (9, 8, 7)).astype(np.int16)


def nifti(path, voxels=HU, affine=LPS):
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def cut(path):
    content = nifti(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def singular(path):
    image = nib.Nifti1Image(HU, None)
    image.header.set_sform(np.diag([1.0, 1, 0, 1]), code=1)
    path.write_bytes(gzip.compress(image.to_bytes()))
    return path


def with_nan(path):
    hu = HU.astype(np.float32)
    hu[4, 4, 3] = np.nan
    return nifti(path, hu)


def tilted(path):
    affine = LPS.copy()
    affine[1, 2] = 0.8
    return nifti(path, affine=affine)


def two_kinds(path):
    return series_in(path, one_slice(2, ImageOrientationPatient=numbers([1, 0, 0, 0, 1, 0])))


def missing(path):
    folder = series_in(path, count=8)
    next(folder.glob("*-4.dcm")).unlink()
    return folder


def twice(path):
    return series_in(path, moved_by(2, (0, 0, -2.5)))


BAD = {
    "truncated.nii.gz": cut,
    "film.nii.gz": lambda path: nifti(path, np.stack([HU, HU], axis=3)),
    "nan.nii.gz": with_nan,
    "singular.nii.gz": singular,
    "mask.nii.gz": lambda path: nifti(path, (HU > 0).astype(np.uint8)),
    "stored.nii.gz": lambda path: nifti(path, (HU + 1024).astype(np.uint16)),
    "grey.nii.gz": lambda path: nifti(path, (HU % 256).astype(np.uint8)),
    "tilted Fälle.nii.gz": tilted,
    "noise.nrrd": lambda path: path.write_bytes(b"NRRD0004\n") and path,
    "uneven": lambda path: series_in(path, moved_by(5, (0, 0, 1.0)), count=8),
    "missing": missing,
    "twice": twice,
    "two kinds": two_kinds,
    "not ct": lambda path: series_in(path, all_slices(Modality="MR")),
    "no places": lambda path: series_in(path, all_slices(ImagePositionPatient=None)),
    "empty": lambda path: path.mkdir() or path,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scan_is_one_sentence_and_exit_code_1(covseg, tmp_path, name, own_checkpoint):
    path = BAD[name](tmp_path / name)
    mask = nifti(tmp_path / "lesion.nii.gz", np.zeros(HU.shape, np.uint8))
    verbs = [("info", path), ("measure", mask, "--scan", path)]
    if name in (
        "mask.nii.gz",
        "missing",
        "tilted Fälle.nii.gz",
    ):  # the others fail alike, and a network is slow to load
        verbs.append(
            ("segment", path, "--network", "res_att_unet", "--checkpoint", own_checkpoint, "--out", tmp_path / "out")
        )
    for words in verbs:
        said = covseg(*words)
        assert said.status == 1
        assert name in said.err
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err
        assert "That did not work" not in said.err
    assert not list(tmp_path.glob("out/*"))


def test_nothing_says_who_the_patient_is(covseg, tmp_path, caplog):
    odd = {"PatientBirthDate": "not a date", "PatientID": "Q4711-" * 20}  # what makes libraries quote a value
    folder = series_in(tmp_path / "case", all_slices(**odd))
    shutil.copytree(folder, tmp_path / "broken")
    for path in list((tmp_path / "broken").iterdir())[:2]:
        path.write_bytes(path.read_bytes()[:-7])
    caplog.clear()  # what pydicom said when these were written
    for place in (folder, tmp_path / "broken"):
        for words in (("info", place), ("info", place, "--json"), ("info", place, "--debug")):
            said = covseg(*words)
            for secret in ("Doe", "Jane", "Q4711", "not a date"):  # no bare digits, which a UID may hold by chance
                assert secret not in said.out + said.err + caplog.text


def test_segment_names_the_label_maps_of_two_series_apart(covseg, tmp_path, own_checkpoint):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    series_in(folder, series_uid="1.2.3.2222", count=3)
    rest = ("--network", "res_att_unet", "--checkpoint", own_checkpoint, "--out", tmp_path / "out", "--json")
    assert "choose one" in covseg("segment", folder, *rest).err
    for series, slices in (("1", 4), ("2", 3)):
        (output,) = covseg("segment", folder, "--series", series, *rest).json["outputs"]
        assert nib.load(output["lesion"]).shape[2] == slices
    assert len(list((tmp_path / "out").glob("*_lesion.nii.gz"))) == 2


AS_NOBODY = """
import os, sys
from napari_covseg.cli import main
from napari_covseg.io import dicom, pictures
main(["info", sys.argv[1]])  # imports all there is to import while the checkout may be read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(["info", sys.argv[2], *sys.argv[3:]]))
"""


def may_be_entered(folder):
    """Let anybody into a test's folder, through those that pytest made above it."""
    for place in takewhile(lambda place: place != Path(tempfile.gettempdir()), (folder, *folder.parents)):
        place.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("kind", ["scan.nii", "case", "within"])
def test_what_may_not_be_read_is_one_sentence_and_exit_code_1(tmp_path, kind):
    may_be_entered(tmp_path)
    path = nifti(tmp_path / kind) if kind.endswith(".nii") else series_in(tmp_path / kind)
    closed = next(path.iterdir()) if kind == "within" else path
    intact = nifti(tmp_path / "intact.nii")
    closed.chmod(0)
    said = subprocess.run([sys.executable, "-c", AS_NOBODY, intact, path], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.startswith("You may not read")
    assert f" {closed}; ask its owner for the permission, or copy it.\n" in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_traceback_is_printed_for_debug_only(covseg, tmp_path, own_checkpoint):
    path = cut(tmp_path / "cut.nii.gz")
    segment = ("segment", path, "--network", "res_att_unet", "--checkpoint", own_checkpoint, "--out", tmp_path / "out")
    for words in (("info", path), segment):
        assert "Traceback" not in covseg(*words).err
        said = covseg(*words, "--debug")
        assert said.status == 1
        assert "Traceback" in said.err
        assert "read_volume" in said.err
        assert said.err.splitlines()[-1].startswith("cut.nii.gz cannot be read as NIfTI")


def test_a_name_is_said_once(covseg, tmp_path, own_checkpoint):
    affine = LPS.copy()
    affine[:3, :3] *= 40
    big = np.random.default_rng(0).integers(-1000, 150, (40, 40, 3)).astype(np.int16)
    path = nifti(tmp_path / "large.nii.gz", big, affine)
    said = covseg("segment", path, "--network", "res_att_unet", "--checkpoint", own_checkpoint, "--out", tmp_path / "o")
    assert "large.nii.gz has voxels of" in said.err
    assert "large.nii.gz: large.nii.gz" not in said.err
    assert "large.nii.gz: The values end at 149 HU" in said.err


NOISY = {
    "PatientBirthDate": "not a date",
    "PatientID": "4711" * 30,
    "SliceLocation": pydicom.DataElement("SliceLocation", "DS", "1.23456789012345678"),
}


def test_libraries_print_nothing(tmp_path):
    folder = series_in(tmp_path / "case", all_slices(**NOISY))
    lines = ("ObjectType = Image", "NDims = 3", "DimSize = 3 3", "ElementType = MET_SHORT", "ElementDataFile = LOCAL")
    (tmp_path / "few.mha").write_text("\n".join(lines) + "\n")
    for path in (folder, tmp_path / "few.mha"):
        command = [sys.executable, "-m", "napari_covseg", "info", path]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        assert said.count("\n") == (0 if path == folder else 1)


PATIENT_ID = "Q4711-0815"
"""Long enough not to stand by chance among the fingerprints in a file."""

SECRETS = ("Doe", "Jane", PATIENT_ID, "19700101", "1970-01-01")


def everything_in(*folders):
    """All bytes of all files, unpacked where they are packed, and their names."""
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        yield f"{file.name} {(gzip.decompress(content) if file.suffix == '.gz' else content).decode('latin-1')}"


BRIEF = ("--width", "compact", "--batch", "1", "--device", "cpu", "--steps", "1")


def test_no_verb_says_or_writes_who_the_patient_is(
    covseg, tmp_path, own_checkpoint, isolated_home, caplog, monkeypatch
):
    commands = []
    monkeypatch.setattr(review, "hindrance", lambda: "")
    monkeypatch.setattr(review, "open_window", commands.append)  # another program; what it logs is tested below
    caplog.set_level("DEBUG")
    folder = series_in(tmp_path / "case", all_slices(PatientID=PATIENT_ID))
    out = tmp_path / "out"
    network = ("--network", "res_att_unet", "--checkpoint", own_checkpoint)
    session = tmp_path / "session"
    scan = read_volume(folder)
    begun = ReviewSession.begin(session, scan, "reader", folder)
    values = begun.labels.values.copy()
    values[1:3] = 1
    begun.absorb(values, "brush", "Brush")
    begun.mark_reviewed(1)
    begun.close()
    caplog.clear()  # what pydicom said when the slices were written
    heard = ""
    for words in (
        ("info", folder),
        ("info", folder, "--json", "--debug"),
        ("segment", folder, *network, "--out", out, "--debug"),
        ("measure", out / "case_res_att_unet_lesion.nii.gz", "--scan", folder, "--json"),
        ("export", session, "--to", "nifti", "--out", out / "exported"),
        ("finetune", *network, "--session", session, "--steps", "1", "--out", out / "child.safetensors"),
        ("export", session, "--to", "bundle", "--out", out / "cases", "--debug"),
        ("evaluate", *network, "--cases", out / "cases", "--device", "cpu", "--per-case", "--debug"),
        ("pack", "--cases", out / "cases", "--out", out / "cases.npz", "--json"),
        ("train", *network[:2], "--cases", out / "cases.npz", "--out", out / "t.safetensors", *BRIEF, "--debug"),
        ("review", folder, "--debug"),
    ):
        said = covseg(*words)
        assert said.status == 0, said.err
        heard += said.out + said.err
    assert (out / "case_res_att_unet_lesion.nii.gz").exists()
    assert list((out / "exported").iterdir())
    for text in (heard, str(commands), caplog.text, *everything_in(out, session, isolated_home)):
        assert not [secret for secret in SECRETS if secret in text]


def test_the_bench_behind_the_window_logs_nothing_of_it(tmp_path, isolated_home, caplog, capfd):
    folder = series_in(tmp_path / "case", all_slices(PatientBirthDate="not a date", PatientID=PATIENT_ID))
    caplog.clear()  # what pydicom said when the slices were written
    caplog.set_level("DEBUG")
    bench = Workbench()
    bench.runner.wait(bench.open(folder))
    assert bench.current is not None
    bench.close()
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err, *everything_in(isolated_home)):
        assert not [secret for secret in (*SECRETS, "not a date") if secret in text]


def test_an_nrrd_that_carries_a_patients_name_does_not_tell_it(covseg, tmp_path):
    path = tmp_path / "case.nrrd"
    image = sitk.GetImageFromArray(HU.T.copy())
    for key, value in (("0010|0010", "Doe^Jane"), ("0010|0020", PATIENT_ID), ("0010|0030", "19700101")):
        image.SetMetaData(key, value)
    sitk.WriteImage(image, path)
    assert b"Doe^Jane" in path.read_bytes()
    for words in (("info", path), ("info", path, "--json", "--debug")):
        said = covseg(*words)
        assert said.status == 0
        assert not [secret for secret in SECRETS if secret in said.out + said.err]


def test_signs_that_a_terminal_cannot_write_are_spelt_out(tmp_path):
    path = nifti(tmp_path / "Fälle ½.nii.gz")
    command = [sys.executable, "-m", "napari_covseg", "info", path]
    said = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert r"9 \xd7 8 \xd7 7" in said.stdout


WITHIN_THE_CLOSED = """
import os, sys
from napari_covseg.plugin import get_reader
get_reader(sys.argv[1])(sys.argv[1])  # imports all there is to import
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[2:]:
    try:
        get_reader(path)(path)
    except ValueError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become nobody")
def test_what_lies_in_a_closed_folder_is_a_sentence_in_napari_too(tmp_path):
    may_be_entered(tmp_path)
    (tmp_path / "closed").mkdir()
    paths = [nifti(tmp_path / "closed" / name) for name in ("scan.nii", "scan_lesion.nii")]
    (tmp_path / "closed").chmod(0)
    command = [sys.executable, "-c", WITHIN_THE_CLOSED, nifti(tmp_path / "intact.nii"), *paths]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines() == [
        f"You may not read {p}; ask its owner for the permission, or copy it." for p in paths
    ]
