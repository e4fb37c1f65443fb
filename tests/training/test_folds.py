"""Cross-validation by patient, decided by annotations and names alone."""

from pathlib import Path

import pytest

from napari_covseg.io.cases import Case, find_cases
from napari_covseg.training.folds import folds, held_out

FULL = ("ggo", "consolidation", "effusion", "lung")


def case(name, patient, *annotated):
    return Case(name, Path(f"{name}_ct.nii.gz"), Path(f"{name}_lesion.nii.gz"), None, frozenset(annotated), patient)


CASES = [
    *(case(f"v{n}", patient, *FULL) for n, patient in enumerate(("m1", "m2", "m2", "m8", "m9"))),
    *(case(f"e{n}", f"l{n}", "effusion") for n in range(4)),
    *(case(f"c{n}-{k}", f"c{n}", "infection", "lung") for n in range(7) for k in range(3)),
    case("000", "slices", *FULL[:3]),
]


def test_patients_annotated_for_most_are_split_in_blocks_and_the_others_dealt_out():
    assert [sorted(fold) for fold in folds(CASES)] == [
        ["c1", "c4", "l0", "l3", "m1"],
        ["c0", "c3", "c6", "l2", "m2"],
        ["c2", "c5", "l1", "m8", "m9", "slices"],
    ]


def test_every_patient_is_held_out_once():
    for count in (2, 3, 5, 16):
        found = folds(CASES, count)
        assert len(found) == count
        assert all(found)
        assert sorted(patient for fold in found for patient in fold) == sorted({case.patient for case in CASES})


def test_the_order_of_the_cases_and_of_their_files_does_not_matter():
    assert folds(CASES[::-1]) == folds(CASES)


def test_a_patient_is_never_split_however_its_cases_are_annotated():
    mixed = [case("a", "p", *FULL), case("b", "p", "effusion"), case("c", "q", *FULL), case("d", "r", "effusion")]
    assert folds(mixed, 2) == (frozenset({"p"}), frozenset({"q", "r"}))


def test_folds_are_numbered_from_1():
    assert held_out(CASES, 1) == folds(CASES)[0]
    assert held_out(CASES, 3, 3) == folds(CASES)[2]
    for fold in (0, 4):
        with pytest.raises(ValueError, match=f"no fold {fold} of 3"):
            held_out(CASES, fold, 3)


def test_fewer_patients_than_folds_are_refused():
    assert len(folds(CASES[:5], 4)) == 4
    with pytest.raises(ValueError, match="4 patients cannot be split into 5 folds"):
        folds(CASES[:5], 5)
    with pytest.raises(ValueError, match="1 patient cannot be split into 3 folds"):
        folds(CASES[:1])


def test_the_real_patients_are_split_as_the_issue_says(covseg_data):
    places = [covseg_data / "volumes", covseg_data / "slices", covseg_data / "slices_infection"]
    volumes = [sorted(p for p in fold if p.startswith("m")) for fold in folds(find_cases(places))]
    assert volumes == [["m1"], ["m2"], ["m8", "m9"]]
