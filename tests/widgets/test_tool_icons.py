from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QColor

from napari_covseg.widgets.handles import HANDLES
from napari_covseg.widgets.theme import theme_of
from napari_covseg.widgets.tool_icons import DRAWN, SIZE_PX


def tools(driver: Any) -> dict[str, Any]:
    panel = driver.tabs.panels["Review"]
    return {**panel.tools.buttons, **{each.text(): each for each in panel.brush.modes.buttons()}}


def ink(button: Any) -> Any:
    """How strong an icon is drawn at each of its pixels, 0 … 255, and its strongest colour."""
    image = button.icon().pixmap(SIZE_PX * 4).toImage()
    pixels = [[image.pixelColor(x, y) for x in range(image.width())] for y in range(image.height())]
    alpha = np.array([[pixel.alpha() for pixel in row] for row in pixels])
    row, column = np.unravel_index(alpha.argmax(), alpha.shape)
    return alpha, pixels[row][column]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_tool_has_an_icon_of_its_own_in_the_colour_of_the_words(at_work: Any, theme: str) -> None:
    at_work.viewer.theme = theme
    at_work.live()
    found = {name: ink(button) for name, button in tools(at_work).items()}
    assert found.keys() == DRAWN.keys() == {"Move", "Paint", "Erase", *(each.name for each in HANDLES)}
    for name, (alpha, colour) in found.items():
        assert 0.05 < (alpha > 127).mean() < 0.7, name
        assert QColor(colour.rgb()) == QColor(theme_of(at_work.viewer).text.rgb()), name
    for one, other in combinations(found, 2):
        assert (np.abs(found[one][0] - found[other][0]) > 127).mean() > 0.04, (one, other)


def test_icon_name_and_key_fit_on_every_button(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    at_work.live(0.1)
    for name, button in tools(at_work).items():
        assert name in button.text()
        assert button.sizeHint().width() <= button.width(), name
