"""A training pack: the same cases in one file, below a size, without folder or machine."""

import getpass
import json
import socket
import zipfile
from dataclasses import replace

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from napari_covseg.io.cases import find_cases, origin_of, read_case
from napari_covseg.io.packing import packed, size_in_mb
from napari_covseg.io.packs import entries
from napari_covseg.jobs import Progress, drain

SHAPE = (300, 280, 6)
"""Columns, rows and slices of a scan on disk."""


@pytest.fixture
def folder(tmp_path):
    """A noisy scan with lung, oblique, lesions on slices 4 and 5 from the apex; and a picture of another patient."""
    rng = np.random.default_rng(0)
    place = tmp_path / "secret_folder"
    place.mkdir()
    angle = np.radians(10)
    affine = np.diag([-0.7, -0.7, 5.0, 1.0])
    affine[:2, :2] = affine[:2, :2] @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    hu = rng.integers(-1024, 1400, SHAPE, dtype=np.int16)
    lesion, lung = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    lesion[40:80, 60:90, 1:3], lung[30:200, 30:200] = 3, 1
    for part, values in (("ct", hu), ("lesion", lesion), ("lung", lung)):
        nib.save(nib.Nifti1Image(values, affine), place / f"a_{part}.nii.gz")
    imageio.imwrite(place / "x-1_image.png", rng.integers(0, 256, (64, 48), dtype=np.uint8))
    imageio.imwrite(place / "x-1_label.png", np.eye(64, 48, dtype=np.uint8) * 4)
    known = {"a": {"patient": "p1", "annotated": ["effusion", "lung"], "slices": [2, 4, 5]}}
    known["x-*"] = {"patient": "x", "annotated": ["infection"]}
    (place / "cases.json").write_text(json.dumps(known))
    return place


def pack(cases, out, max_mb=None):
    return drain(packed(cases, out, max_mb))


def known(case):
    return case.name, case.annotated, case.patient, case.slices, case.lung is None, case.is_picture


def test_a_packed_case_is_the_case(folder, tmp_path):
    cases = find_cases([folder])
    made = pack(cases, tmp_path / "all.npz")
    found = find_cases([made.path])
    assert [known(case) for case in found] == [known(case) for case in cases]
    assert (made.cases, made.patients, made.bytes, made.notes) == (2, 2, made.path.stat().st_size, ())
    for before, after in zip(cases, found, strict=True):
        (scan, labels, lung), (scan_again, labels_again, lung_again) = read_case(before), read_case(after)
        assert scan_again.geometry.same_grid(scan.geometry)
        assert scan_again.name == scan.name
        assert np.abs(scan_again.hu - np.clip(scan.hu, -1000, 1000)).max() <= 4
        assert np.array_equal(labels_again.values, labels.values)
        assert (lung is None) == (lung_again is None)
        assert lung is None or np.array_equal(lung_again.values, lung.values)


def test_a_packed_case_knows_the_scan_it_was_taken_from_whatever_is_left_of_it(folder, tmp_path):
    scans = [read_case(case)[0] for case in find_cases([folder])]
    smaller = pack(find_cases([folder]), tmp_path / "smaller.npz", 0.2)
    assert "keeps" in " ".join(smaller.notes)
    again = pack(find_cases([smaller.path]), tmp_path / "again.npz")
    for made in (smaller, again):
        cases = find_cases([made.path])
        origins = [origin_of(case, read_case(case)[0]) for case in cases]
        assert [origin.voxels_sha256 for origin in origins] == [scan.voxels_sha256 for scan in scans]
        assert [origin.slices_sha256 for origin in origins] == [scan.slices_sha256 for scan in scans]
        numbers = {n + origins[0].first for n in cases[0].slices}
        assert numbers
        assert numbers < {2, 4, 5}


def test_a_pack_of_a_pack_is_the_same_pack(folder, tmp_path):
    first = pack(find_cases([folder]), tmp_path / "first.npz")
    second = pack(find_cases([first.path]), tmp_path / "second.npz")
    assert first.path.read_bytes() == second.path.read_bytes()


@pytest.mark.parametrize("number", [0, 7])
def test_a_case_that_names_slices_beyond_its_scan_is_not_packed(folder, tmp_path, number):
    cases = [replace(case, slices=(1, number)) if case.name == "a" else case for case in find_cases([folder])]
    with pytest.raises(ValueError, match=r"slices of a beyond its 6"):
        pack(cases, tmp_path / "all.npz")
    assert not (tmp_path / "all.npz").exists()


def test_cases_of_the_same_name_stay_apart(folder, tmp_path):
    cases = find_cases([folder])
    made = pack(cases, tmp_path / "all.npz")
    for name in (
        "a_lesion.nii.gz",
        "a_lung.nii.gz",
    ):  # one says something else of the same scan, one is another picture
        image = nib.load(folder / name)
        nib.save(nib.Nifti1Image(np.flip(np.asarray(image.dataobj), 0), image.affine), folder / name)
    imageio.imwrite(folder / "x-1_image.png", np.zeros((64, 48), np.uint8))
    told = []
    found = find_cases([made.path, folder], told.append)
    assert [case.name for case in found] == ["a", "x-1"] * 2
    assert told == []
    assert [case.name for case in find_cases([pack(found, tmp_path / "both.npz").path])] == ["a", "x-1"] * 2


@pytest.mark.parametrize("max_mb", [None, 0.2])
def test_cases_and_their_pack_count_once_and_that_is_told(folder, tmp_path, max_mb):
    made = pack(find_cases([folder]), tmp_path / "all.npz", max_mb)
    told = []
    assert find_cases([folder, made.path], told.append) == find_cases([folder])
    assert told == ["2 cases given twice (a, x-1), as in a folder and its pack; each counts once."]


def test_a_pack_names_no_folder_machine_or_person(folder, tmp_path):
    made = pack(find_cases([folder]), tmp_path / "all.npz")
    with zipfile.ZipFile(made.path) as archive:
        said = " ".join([archive.read("index.npy").decode("latin-1"), archive.comment.decode(), *archive.namelist()])
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert '"patient": "p1"' in said
    for word in ("secret_folder", str(tmp_path), "/", f'"{socket.gethostname()}"', f'"{getpass.getuser()}"'):
        assert word not in said.replace("/grey.npy", "").replace("/labels.npy", "").replace("/lung.npy", "")


def test_numpy_opens_it_without_pickle(folder, tmp_path):
    made = pack(find_cases([folder]), tmp_path / "all.npz")
    with np.load(made.path, allow_pickle=False) as members:
        assert all(members[name].dtype == np.uint8 for name in members.files)


def corners(case):
    return read_case(case)[0].geometry


def test_a_limit_is_kept_by_resampling_slices_over_the_same_field_of_view(folder, tmp_path):
    cases = find_cases([folder])
    limit_mb = pack(cases, tmp_path / "all.npz").bytes / 1e6 * 0.85
    made = pack(cases, tmp_path / "small.npz", limit_mb)
    assert made.bytes < limit_mb * 1e6
    (note,) = made.notes
    assert note.startswith("1 of 2 cases is resampled to ")
    whole, small = (read_case(find_cases([place])[0]) for place in (folder, made.path))
    sizes = [images[0].geometry.shape for images in (whole, small)]
    assert sizes[1][0] == sizes[0][0]
    assert 256 <= max(sizes[1][1:]) < 300
    edges = [g.to_mm([-0.5, -0.5, -0.5]) for g in (whole[0].geometry, small[0].geometry)]
    assert np.allclose(*edges, atol=1e-3)
    volumes = [(images[1].values == 3).sum() * images[1].geometry.voxel_ml for images in (whole, small)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    assert set(np.unique(small[1].values)) == {0, 3}


def test_below_that_the_slices_that_bear_lesion_are_kept(folder, tmp_path):
    cases = find_cases([folder])
    smallest = pack(cases, tmp_path / "all.npz").bytes / 1e6 * 0.35
    made = pack(cases, tmp_path / "tiny.npz", smallest)
    assert made.bytes < smallest * 1e6
    assert any("a keeps 2 of its 6 slices" in note for note in made.notes)
    case = find_cases([made.path])[0]
    assert case.slices == (1, 2)
    scan, labels, lung = read_case(case)
    whole, _, _ = read_case(cases[0])
    assert (labels.values == 3).any(axis=(1, 2)).tolist() == [True, True]
    assert lung.values.shape == labels.values.shape
    moved = apply_affine(np.linalg.inv(whole.geometry.affine), scan.geometry.to_mm([0, 0, 0]))
    assert moved[0] == pytest.approx(3)  # the fourth slice from the apex is the first now


def test_a_limit_that_cannot_be_kept_is_refused_and_leaves_no_file(folder, tmp_path):
    with pytest.raises(ValueError, match=r"none\.npz cannot be made smaller than 0\.\d\d\d MB"):
        pack(find_cases([folder]), tmp_path / "none.npz", 0.01)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_size_is_told_as_finely_as_a_limit_can_be_given():
    assert [size_in_mb(size) for size in (1, 52_001, 999_999, 1_000_000, 2_310_000)] == [
        "0.001 MB",
        "0.053 MB",
        "1.000 MB",
        "1.0 MB",
        "2.4 MB",
    ]


def test_packing_that_is_stopped_leaves_no_file(folder, tmp_path):
    job = packed(find_cases([folder]), tmp_path / "all.npz")
    assert next(job) == Progress(0, 2, "packing: a")
    next(job)
    job.close()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("content", [b"", b"no zip", "truncated", "other"])
def test_what_is_no_pack_is_refused_in_a_sentence(folder, tmp_path, content):
    path = tmp_path / "odd.npz"
    if content == "other":
        np.savez(path, grey=np.zeros(3))
    elif content == "truncated":
        path.write_bytes(pack(find_cases([folder]), tmp_path / "all.npz").path.read_bytes()[:-100])
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.npz is not a training pack"):
        find_cases([path])


def test_a_damaged_case_is_refused_when_it_is_read(folder, tmp_path):
    path = pack(find_cases([folder]), tmp_path / "all.npz").path
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    cases = find_cases([path])
    with pytest.raises(ValueError, match="damaged"):
        read_case(cases[0])
    assert read_case(cases[1])


def test_a_missing_pack_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder or training pack .*nowhere\.npz"):
        find_cases([tmp_path / "nowhere.npz"])


def test_the_index_says_what_cases_json_said(folder, tmp_path):
    made = pack(find_cases([folder]), tmp_path / "all.npz")
    first, second = entries(made.path)
    assert (first.name, first.annotated, first.patient) == ("a", ("effusion", "lung"), "p1")
    assert (second.is_picture, second.has_lung, second.slices) == (True, False, None)
