"""What is scored on a case, and what is not: partial labels, unspecified opacities, chosen slices."""

import numpy as np
import pytest

from napari_covseg.measure import Overlap, agreement, agreements, hd95_mm, scorable
from napari_covseg.volume import LUNGS, Geometry, LabelMap

GRID = Geometry((3, 2, 4), np.diag([5.0, 2.0, 1.0, 1.0]))  # 0.01 mL a voxel
EVERYTHING = ("ggo", "consolidation", "effusion")


def labels(*rows, scheme=None):
    """Return a label map whose slices hold these eight values each."""
    values = np.array(rows, np.uint8).reshape(GRID.shape)
    return LabelMap(values, GRID, scheme) if scheme else LabelMap(values, GRID)


EMPTY = [0] * 8
REFERENCE = labels([1, 1, 2, 2, 0, 0, 3, 3], [0, 1, 0, 0, 0, 0, 0, 0], EMPTY)
PROPOSAL = labels([1, 2, 2, 2, 1, 0, 3, 0], EMPTY, [0, 0, 0, 0, 0, 0, 3, 0])


def test_every_class_by_hand():
    found = agreements(PROPOSAL, REFERENCE, known=EVERYTHING, annotated=EVERYTHING)
    assert {name: one.overlap for name, one in found.items()} == {
        "lesion": Overlap(4, 1, 1, 18),
        "ggo": Overlap(1, 1, 2, 20),
        "consolidation": Overlap(2, 1, 0, 21),
        "effusion": Overlap(1, 1, 1, 21),
    }
    assert found["effusion"].per_slice == (Overlap(1, 0, 1, 6), Overlap(0, 0, 0, 8), Overlap(0, 1, 0, 7))
    assert found["effusion"].false_positive_ml == pytest.approx(0.01)


def test_where_only_effusion_was_looked_for_nothing_is_said_of_lesions():
    found = agreements(PROPOSAL, REFERENCE, known=EVERYTHING, annotated=("effusion",))
    assert found.keys() == {"effusion"}


@pytest.mark.parametrize(
    ("known", "annotated", "names"),
    [
        (EVERYTHING, EVERYTHING, ("lesion", *EVERYTHING)),
        (EVERYTHING, (*EVERYTHING, "lung"), ("lesion", *EVERYTHING)),
        (("infection",), EVERYTHING, ("lesion",)),
        (EVERYTHING, ("infection", "lung"), ("lesion",)),
        (("ggo", "consolidation"), EVERYTHING, ("lesion", "ggo", "consolidation")),
        (EVERYTHING, ("ggo",), ("ggo",)),
        (("ggo",), EVERYTHING, ("ggo",)),
        (("infection",), ("effusion",), ()),
    ],
)
def test_a_class_is_scored_where_one_side_knows_it_and_the_other_looked(known, annotated, names):
    assert scorable(known, annotated) == names


def test_an_unspecified_opacity_is_a_lesion_on_either_side():
    binary = labels([4, 4, 4, 0, 0, 0, 0, 0], EMPTY, EMPTY)
    typed = labels([1, 2, 0, 0, 0, 0, 3, 0], EMPTY, EMPTY)
    for ours, theirs, expected in ((binary, typed, Overlap(2, 1, 0, 21)), (typed, binary, Overlap(2, 0, 1, 21))):
        assert agreements(ours, theirs, known=("infection",), annotated=("infection",))["lesion"].overlap == expected


def test_what_the_reference_leaves_unspecified_is_no_mistake_in_ground_glass():
    typed = labels([1, 1, 0, 0, 0, 0, 0, 0], EMPTY, EMPTY)
    mixed = labels([1, 4, 0, 0, 0, 0, 0, 0], EMPTY, EMPTY)
    found = agreements(typed, mixed, known=EVERYTHING, annotated=EVERYTHING)
    assert found["ggo"].overlap == Overlap(1, 0, 0, 23)
    swapped = agreements(mixed, typed, known=EVERYTHING, annotated=EVERYTHING)
    assert swapped["ggo"].overlap == Overlap(1, 0, 1, 22)  # but a proposal that cannot tell has not found it


def test_lung_is_scored_where_both_have_one():
    lung, reference_lung = (labels([1] * n + [0] * (8 - n), EMPTY, EMPTY, scheme=LUNGS) for n in (4, 3))
    kwargs = {"known": EVERYTHING, "annotated": EVERYTHING}
    both = agreements(PROPOSAL, REFERENCE, lung=lung, reference_lung=reference_lung, **kwargs)
    assert both["lung"].overlap == Overlap(3, 1, 0, 20)
    assert "lung" not in agreements(PROPOSAL, REFERENCE, lung=lung, **kwargs)
    assert "lung" not in agreements(PROPOSAL, REFERENCE, reference_lung=reference_lung, **kwargs)


def test_only_the_slices_that_count_are_counted():
    found = agreements(PROPOSAL, REFERENCE, known=EVERYTHING, annotated=EVERYTHING, slices=(0,))
    assert found["effusion"].per_slice == (Overlap(1, 0, 1, 6),)
    assert found["lesion"].overlap == Overlap(4, 1, 0, 3)
    assert not agreements(PROPOSAL, REFERENCE, known=EVERYTHING, annotated=EVERYTHING, slices=(2,))["ggo"].is_present


def test_distances_ignore_slices_that_do_not_count():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 6, 6)) < 0.4
    grid = Geometry((3, 6, 6), np.diag([5.0, 2.0, 1.0, 1.0]))
    alone = hd95_mm(a[1:2], b[1:2], Geometry((1, 6, 6), grid.affine))
    assert agreement(a, b, grid, (1,)).hd95_mm == pytest.approx(alone)
    assert agreement(a, b, grid).hd95_mm == hd95_mm(a, b, grid)


def test_a_proposal_on_another_grid_is_refused():
    elsewhere = LabelMap(PROPOSAL.values, Geometry(GRID.shape, np.diag([5.0, 2.0, 1.01, 1.0])))
    with pytest.raises(ValueError, match="reference's grid"):
        agreements(elsewhere, REFERENCE, known=EVERYTHING, annotated=EVERYTHING)
    lung = LabelMap(PROPOSAL.values, elsewhere.geometry, LUNGS)
    with pytest.raises(ValueError, match="reference's grid"):
        agreements(PROPOSAL, REFERENCE, known=EVERYTHING, annotated=EVERYTHING, lung=lung)
