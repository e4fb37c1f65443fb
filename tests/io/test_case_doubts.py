"""What is doubtful about cases, told wherever they are read: once of each, and of many in a few words."""

import json

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io.case_doubts import MOST_TOLD, Doubts
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.packing import packed
from napari_covseg.io.packs import PackedCase, PackWriter, entries
from napari_covseg.jobs import Remark, drain

SEVEN = "also holds 7, which is no class (1 ggo, 2 consolidation, 3 effusion, 4 infection); voxels of these"


@pytest.fixture
def folder(tmp_path):
    """Pictures with one or two sevens, and no other doubt."""
    place = tmp_path / "cases"
    place.mkdir()
    rng = np.random.default_rng(0)
    labels = np.zeros((32, 40), np.uint8)
    labels[4:8, 4:8], labels[12:14, 12] = 4, 7
    for number in range(1, MOST_TOLD + 5):
        imageio.imwrite(place / f"x-{number:02d}_image.png", rng.integers(0, 256, labels.shape, dtype=np.uint8))
        imageio.imwrite(place / f"x-{number:02d}_label.png", labels)
    (place / "cases.json").write_text(json.dumps({"x-*": {"patient": "x", "annotated": ["infection"]}}))
    return place


def remarks(job):
    steps = []
    drain(job, steps.append)
    return [step.words for step in steps if isinstance(step, Remark)]


def test_values_that_are_no_class_are_told_and_read_as_nothing(folder):
    _, labels, _ = read_case(find_cases([folder])[0])
    assert SEVEN in labels.notes[0]
    assert sorted(np.unique(labels.values)) == [0, 4]


def test_a_pack_keeps_no_number_that_is_no_class_and_tells_so_once(folder, tmp_path):
    few = find_cases([folder])[:2]
    told = remarks(packed(few, tmp_path / "few.npz"))
    assert [SEVEN in words for words in told] == [True, True]
    for case in find_cases([tmp_path / "few.npz"]):
        _, labels, _ = read_case(case)
        assert not labels.notes
        assert 7 not in labels.values


def test_an_older_pack_that_kept_such_numbers_tells_them_when_it_is_read(folder, tmp_path):
    remarks(packed(find_cases([folder])[:1], tmp_path / "new.npz"))
    (entry,) = entries(tmp_path / "new.npz")
    labels = np.zeros((1, 32, 40), np.uint8)
    labels[0, 4, 4:6] = 4, 7
    with PackWriter(tmp_path / "old.npz") as pack:
        pack.add(PackedCase(entry, np.zeros_like(labels), labels, None))
    _, found, _ = read_case(find_cases([tmp_path / "old.npz"])[0])
    assert found.notes[0].startswith("x-01_label.png in old.npz also holds 7")
    assert 7 not in found.values


def test_of_many_doubtful_cases_those_after_the_first_are_told_together(folder, tmp_path):
    told = remarks(packed(find_cases([folder]), tmp_path / "all.npz"))
    assert len(told) == MOST_TOLD + 1
    assert told[-1] == "4 more cases are as doubtful (x-11, x-12, x-13 …); given alone, they say why."


def test_a_case_that_is_read_again_is_not_told_again(folder):
    doubts, case = Doubts(), find_cases([folder])[0]
    assert len(list(doubts.about(case, *read_case(case)))) == 1
    assert not list(doubts.about(case, *read_case(case)))
    assert not list(doubts.about_the_others())


@pytest.mark.parametrize("shift_mm", [0, 5])
def test_labels_on_another_grid_than_their_scan_are_told(tmp_path, shift_mm):
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    hu = np.random.default_rng(0).integers(-1024, 1400, (40, 40, 8), dtype=np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    labels[10:20, 10:20, 3:6] = 1
    nib.save(nib.Nifti1Image(hu, affine), tmp_path / "a_ct.nii.gz")
    affine[:3, 3] += shift_mm
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "a_lesion.nii.gz")
    told = remarks(packed(find_cases([tmp_path], list), tmp_path / "a.npz"))  # that noise is no chest is told, too
    words = "a_lesion.nii.gz is on another grid than a_ct and was brought onto the scan's."
    assert (words in told) == bool(shift_mm)
