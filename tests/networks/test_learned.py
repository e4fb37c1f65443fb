"""What a line of checkpoints has seen: it only grows, and what nobody knows stays unknown."""

import numpy as np
import pytest

from napari_covseg.networks import Card
from napari_covseg.networks.learned import Learned, Places, learned_by, merged
from napari_covseg.volume import Geometry

CARD = Card(network="res_att_unet", width="compact", scheme=("ggo",), trained_on="nothing")


def test_a_slice_that_taught_once_no_longer_judges():
    first, second = {"x": Learned.of((0, 4), (2,))}, {"x": Learned.of((2,), (8,)), "y": Learned.of((1,))}
    assert merged(first, second) == merged(second, first)
    assert merged(first, second) == {"x": Learned(taught=(1, 3, 5), judged=(9,)), "y": Learned(taught=(2,))}


def test_what_nobody_knows_stays_unknown():
    assert merged({"x": Learned(taught=None)}, {"x": Learned.of((0,), (1,))}) == {"x": Learned(taught=None)}


ALL = tuple("abcdefgh")


@pytest.mark.parametrize(
    ("copy", "known"),
    [
        ("abcdefgh", Learned.of((1, 6), (3,))),
        ("cdef", Learned.of((-1, 4), (1,))),
        ("abcdXfgh", Learned.of((1, 6), (3,))),
        ("xyabcdefgh", Learned.of((3, 8), (5,))),
        ("xyz", None),
    ],
)
def test_it_is_told_by_the_numbers_of_a_copy(copy, known):
    assert Learned.of((1, 6), (3,), ALL).in_copy(tuple(copy)) == known


def test_slices_without_a_fingerprint_are_in_no_copy_and_an_old_record_knows_none():
    assert Learned.of((1,), (), ("", "", "a")).in_copy(("", "", "b")) is None
    assert Learned.of((1,)).in_copy(ALL) is None
    assert Learned(taught=None, slices_sha256=ALL).in_copy(ALL[3:]) == Learned(taught=None)
    assert Learned.model_validate_json('{"taught": [2], "judged": []}') == Learned.of((1,))


def test_fingerprints_stay_with_what_is_merged():
    known = {"x": Learned.of((0,), (), ALL)}
    assert merged(known, {"x": Learned.of((1,))})["x"].slices_sha256 == ALL
    assert merged({"x": Learned(taught=None)}, known)["x"].slices_sha256 == ALL


def test_of_a_slices_fingerprints_those_that_tell_more_stay():
    older, newer = {"x": Learned.of((0,), (), ("a", "b"))}, {"x": Learned.of((0,), (), ("a c", "b"))}
    assert merged(older, newer) == merged(newer, older) == newer


def test_an_old_card_names_scans_and_no_slices():
    assert learned_by(CARD) == {}
    assert learned_by(CARD.model_copy(update={"scans_sha256": ("x",)})) == {"x": Learned(taught=None)}
    known = {"v": Learned.of((0,))}
    assert learned_by(CARD.model_copy(update={"scans_sha256": ("x",), "learned": known})) == known
    assert Card.model_validate_json(CARD.model_copy(update={"learned": known}).model_dump_json()).learned == known


def test_places_are_those_of_the_whole_scan_where_its_first_slices_were_cut_off():
    affine = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-5, 0, 0, 70], [0, 0, 0, 1]])
    whole = Geometry((40, 8, 8), affine)
    cut = whole.cropped((4, 0, 0), (40, 8, 8))
    assert Places.of(cut, cut_off=4) == Places.of(whole)
    assert Places.of(whole).may_be_near(10, Places.of(whole), 18)
    assert not Places.of(whole).may_be_near(10, Places.of(whole), 19)
    moved = Places.of(cut)
    assert moved.may_be_near(10, Places.of(whole), 18)  # as deep below its own first slice
    assert moved.may_be_near(10, Places.of(whole), 22)  # as high, four slices further on


def test_whose_scan_it_is_stays_with_what_is_merged():
    known = Learned.of((1,)).in_patient({"patient-1"}, Places(spacing_mm=1, first_mm=0, step_mm=-1))
    assert known.beside(Learned.of((2,))) == Learned.of((1, 2)).beside(known)
    assert Learned.of((2,)).beside(known).patients == ("patient-1",)
    other = known.model_copy(update={"patients": ("patient-0",)})
    assert known.beside(other).patients == other.beside(known).patients == ("patient-0", "patient-1")
    assert Learned.model_validate_json(known.model_dump_json()) == known
    assert Learned.of((1,)).in_patient((), Places(spacing_mm=1, first_mm=0, step_mm=-1)).places is None


def test_a_record_of_before_a_patient_could_have_several_names_is_read():
    assert Learned.model_validate({"taught": [1], "patient": "patient-1"}).patients == ("patient-1",)
    assert Learned.model_validate({"taught": [1], "patient": ""}).patients == ()
