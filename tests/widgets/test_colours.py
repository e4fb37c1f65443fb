"""Classes are told apart without colours: by lightness, also as colour-blind readers see them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from napari_covseg.review import CHANGES
from napari_covseg.volume import LESIONS, LUNGS

LEAST_LIGHTNESS_APART = 4.0
"""In L*, of 100; two greys side by side are told apart from about 2."""

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB.
SEEN_BY = {
    "grey-scale and full colour": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
LEAST_CHANGES_APART = 10.0
COLOURS = {each.title: each.colour for each in (*LESIONS, *LUNGS)}


def lightness(colour: str, seen: np.ndarray) -> float:
    """CIE L* of an sRGB colour after a simulation."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(np.clip(seen @ linear, 0, 1) @ (0.2126, 0.7152, 0.0722))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 216 / 24389 else luminance * 24389 / 27


def test_lightness_is_that_of_the_standard() -> None:
    assert lightness("#ffffff", np.eye(3)) == pytest.approx(100)
    assert lightness("#000000", np.eye(3)) == 0
    assert lightness("#777777", np.eye(3)) == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_every_two_classes_differ_in_lightness(seen_by: str) -> None:
    found = {title: lightness(colour, SEEN_BY[seen_by]) for title, colour in COLOURS.items()}
    apart = {(a, b): abs(found[a] - found[b]) for a, b in combinations(found, 2)}
    assert min(apart.values()) >= LEAST_LIGHTNESS_APART, min(apart, key=lambda pair: apart[pair])


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_every_two_kinds_of_change_differ_in_lightness(seen_by: str) -> None:
    found = [lightness(each.colour, SEEN_BY[seen_by]) for each in CHANGES]
    assert min(abs(a - b) for a, b in combinations(found, 2)) >= LEAST_CHANGES_APART


@pytest.mark.parametrize("seen_by", SEEN_BY)
@pytest.mark.parametrize("title", [each.title for each in LESIONS])
def test_an_outline_stands_out_from_lung_and_from_what_is_dense(title: str, seen_by: str) -> None:
    """In the lung window normal lung is nearly black, and an effusion or the chest wall nearly white."""
    light = lightness(COLOURS[title], SEEN_BY[seen_by])
    assert light > 25
    assert light < 95
