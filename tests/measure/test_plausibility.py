"""What is odd about a scan is said, and nothing is said of a sound one."""

import numpy as np
import pytest

from napari_covseg.measure.plausibility import doubts, doubts_about_lung, hu_range
from napari_covseg.volume import LUNGS, Geometry, LabelMap, Volume

LPS = np.diag([-0.7, -0.7, 5.0, 1.0])


def scan(low=-1024, high=1200, affine=LPS):
    hu = np.linspace(low, high, 4 * 4 * 4).reshape(4, 4, 4).astype(np.float32)
    return Volume(hu, Geometry(hu.shape, affine))


def test_a_sound_scan_raises_no_doubt():
    assert doubts(scan()) == ()
    assert hu_range(scan()) == (-1024.0, 1200.0)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0, 255, "8-bit"),
        (0, 4095, "rescale"),
        (-400, 1000, "no air"),
        (-1024, 150, "window"),
        (-501, 301, None),
    ],
)
def test_hounsfield_units_that_cannot_be(low, high, word):
    found = doubts(scan(low, high))
    assert [word in sentence for sentence in found] == ([True] if word else [])


@pytest.mark.parametrize(
    ("axes", "word"), [((0, 2, 1, 3), "coronal"), ((2, 1, 0, 3), "sagittal"), ((1, 0, 2, 3), None)]
)
def test_slices_that_are_not_axial(axes, word):
    found = doubts(scan(affine=LPS[list(axes)]))
    assert [word in sentence for sentence in found] == ([True] if word else [])


@pytest.mark.parametrize(("degrees", "is_said"), [(0.4, False), (2.0, True)])
def test_oblique_slices(degrees, is_said):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ LPS
    assert any("oblique" in sentence for sentence in doubts(scan(affine=turned))) == is_said


def test_equal_spacing_leaves_the_stacking_unknown():
    assert doubts(scan(affine=np.diag([-1.0, -1.0, 1.1, 1.0])[[0, 2, 1, 3]])) == ()


@pytest.mark.parametrize(("value", "inside", "said"), [(1, 2, ""), (2, 1, "75 %"), (4, 1, "75 %"), (3, 0, "")])
def test_opacities_mostly_outside_the_lung_are_doubted_and_effusion_is_not(value, inside, said):
    lesions, lung = np.zeros((2, 4, 4, 4), np.uint8)
    lesions[0, 0], lung[0, 0, :inside] = value, 1
    grid = Geometry(lesions.shape, LPS)
    told = doubts_about_lung(LabelMap(lesions, grid), LabelMap(lung, grid, LUNGS))
    assert [said in sentence for sentence in told] == [True] * bool(said)
