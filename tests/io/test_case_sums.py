"""Cases are known again by what is in them, wherever they lie, and told from others of the same names."""

import json
import shutil

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io.case_sums import contents_sha256
from napari_covseg.io.cases import find_cases
from napari_covseg.io.packing import packed
from napari_covseg.jobs import drain


def write(folder, *, hu=0, lesion=0, grey=0, about=None):
    folder.mkdir()
    values = np.random.default_rng(0).integers(-1024, 1400, (40, 30, 4), dtype=np.int16)
    labels = np.zeros(values.shape, np.uint8)
    values[3, 3, 3], labels[2, 2, 2] = hu, lesion
    for part, voxels in (("ct", values), ("lesion", labels)):
        nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1, 5, 1])), folder / f"a_{part}.nii.gz")
    for part, value in (("image", grey), ("label", 0)):
        imageio.imwrite(folder / f"x_{part}.png", np.full((64, 48), value, np.uint8))
    listing = {"a": {"patient": "p1", "annotated": ["ggo"]}, "x": {"patient": "p2", "annotated": ["ggo"]}}
    (folder / "cases.json").write_text(json.dumps({**listing, **(about or {})}))
    return folder


def told(place):
    return contents_sha256(find_cases([place], str))


def test_cases_are_the_same_wherever_their_folder_lies(tmp_path):
    here = write(tmp_path / "here")
    before = told(here)
    assert told(shutil.copytree(here, tmp_path / "there")) == before
    assert told(here.rename(tmp_path / "elsewhere")) == before
    unsaid = {"a": {}, "x": {}}
    assert told(write(tmp_path / "one", about=unsaid)) == told(write(tmp_path / "two", about=unsaid)) != before


@pytest.mark.parametrize(
    "other",
    [
        {"hu": 1},
        {"lesion": 1},
        {"grey": 1},
        {"about": {"a": {"patient": "p1", "annotated": ["consolidation"]}}},
        {"about": {"a": {"patient": "p2", "annotated": ["ggo"]}}},
        {"about": {"a": {"patient": "p1", "annotated": ["ggo"], "slices": [2]}}},
    ],
)
def test_cases_of_the_same_names_are_others_where_anything_in_them_is(other, tmp_path):
    assert told(write(tmp_path / "one")) != told(write(tmp_path / "two", **other))


def test_a_pack_is_known_by_the_checksums_of_what_it_holds(tmp_path):
    folders = [write(tmp_path / "one"), write(tmp_path / "two", lesion=1)]
    one, two = (drain(packed(find_cases([each]), tmp_path / f"{each.name}.npz")).path for each in folders)
    (tmp_path / "moved").mkdir()
    assert told(one) == told(shutil.copy(one, tmp_path / "moved" / "other.npz")) != told(two)
    alone = drain(packed(find_cases([folders[0]])[:1], tmp_path / "alone.npz")).path
    assert contents_sha256(find_cases([one])[:1]) == told(alone) != told(one)
