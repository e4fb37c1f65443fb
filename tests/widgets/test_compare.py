from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_covseg.volume import Provenance

from .conftest import SHAPE

RUN = Provenance("run", "a network")
VOXEL_ML = 3.0 * 1.5 * 1.5 / 1000


@pytest.fixture
def corrected(at_work: Any) -> Any:
    """A network's ground glass on slice 7, some of it erased by hand, some consolidation painted beside it."""
    values = np.zeros(SHAPE[1:], dtype=np.uint8)
    values[10:30, 5:20] = 1
    at_work.session.propose(6, values, "a network", "run")
    at_work.viewer.dims.set_current_step(0, 6)
    at_work.key(Qt.Key.Key_S)
    at_work.lesions.brush_size = 4
    at_work.stroke((35, 25), (35, 32))
    at_work.key(Qt.Key.Key_E)
    at_work.stroke((12, 8), (12, 16))
    at_work.proposal = values
    return at_work


def names(driver: Any) -> list[str]:
    return [layer.name for layer in driver.viewer.layers]


def layer(driver: Any, name: str) -> Any:
    return driver.viewer.layers[name]


def test_one_key_shows_the_proposal_then_the_difference_then_the_lesions_again(corrected: Any) -> None:
    before, compare = names(corrected), corrected.desk.furniture.compare
    current = corrected.session.labels.values[6].copy()
    corrected.key(Qt.Key.Key_C)
    assert not corrected.lesions.visible
    assert np.array_equal(layer(corrected, "proposal").data[6], corrected.proposal)
    assert "proposed" in compare.banner.text()
    corrected.key(Qt.Key.Key_C)
    found = layer(corrected, "difference").data[6]
    assert ((found == 1) == ((corrected.proposal == 0) & (current > 0))).all()
    assert ((found == 2) == ((corrected.proposal > 0) & (current == 0))).all()
    assert (found > 0).any()
    assert f"Added {(found == 1).sum() * VOXEL_ML:.1f} mL" in compare.banner.text()
    assert "<br>on slice 7<br>" in compare.banner.text()
    corrected.key(Qt.Key.Key_C)
    assert names(corrected) == before
    assert corrected.lesions.visible
    assert not compare.banner.isVisible()


def test_nothing_can_be_painted_on_what_is_compared(corrected: Any) -> None:
    corrected.key(Qt.Key.Key_P)
    corrected.key(Qt.Key.Key_C)
    before = corrected.session.labels.values.copy()
    corrected.stroke((40, 10), (40, 20))
    corrected.live(0.3)
    assert np.array_equal(corrected.session.labels.values, before)
    assert np.array_equal(layer(corrected, "proposal").data[6], corrected.proposal)


def test_choosing_a_class_goes_back_to_the_lesions(corrected: Any) -> None:
    corrected.key(Qt.Key.Key_C)
    corrected.key(Qt.Key.Key_A)
    assert corrected.lesions.visible
    assert "proposal" not in names(corrected)
    corrected.stroke((40, 10), (40, 20))
    assert (corrected.session.labels.values[6, 40, 11:19] == 1).all()


def test_nobody_vouches_for_labels_that_the_comparison_hides(corrected: Any) -> None:
    corrected.key(Qt.Key.Key_C)
    corrected.key(Qt.Key.Key_R)
    assert corrected.session.reviewed == ()
    assert corrected.lesions.visible
    assert "R marks them reviewed" in corrected.tabs.state_line.message.text()
    corrected.key(Qt.Key.Key_R)
    assert corrected.session.reviewed == (6,)


def test_undo_ends_the_comparison(corrected: Any) -> None:
    corrected.key(Qt.Key.Key_C)
    corrected.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    corrected.live(0.1)
    assert corrected.lesions.visible
    assert "proposal" not in names(corrected)


def test_all_three_views_compare(corrected: Any) -> None:
    corrected.key(Qt.Key.Key_Y)
    corrected.key(Qt.Key.Key_C)
    for pane in corrected.desk.furniture.ortho.panes:
        assert "proposal" in [each.name for each in pane.model.layers]
        assert not pane.layers.lesions.visible
    corrected.key(Qt.Key.Key_Y)
    assert corrected.desk.furniture.compare.shown == "current"
    for pane in corrected.desk.furniture.ortho.panes:
        assert "proposal" not in [each.name for each in pane.model.layers]


def test_where_no_network_proposed_anything_it_says_so(at_work: Any) -> None:
    said: list[str] = []
    at_work.bench.said.connect(said.append)
    at_work.key(Qt.Key.Key_C)
    assert at_work.lesions.visible
    assert "proposed" in said[-1]


@pytest.mark.parametrize(("here", "shown"), [(6, 2), (3, 3)])
def test_what_the_rest_became_is_shown_where_there_is_something_to_see(corrected: Any, here: int, shown: int) -> None:
    """Slice 7 is the reader's; most changed on slice 3, a little on slice 4."""
    after = corrected.session.labels.values.copy()
    after[2, 20:30, 5:20] = 1
    after[3, 20:22, 5:20] = 1
    corrected.viewer.dims.set_current_step(0, here)
    made = corrected.session.propose_rest(after, [2, 3], "a network on the rest", RUN)
    corrected.desk.segmented_rest.emit(made)
    corrected.live(0.1)
    assert corrected.desk.furniture.compare.shown == "last run"
    assert corrected.viewer.dims.current_step[0] == shown
    choice = corrected.bench.choice
    choice.take(choice.network)
    corrected.live(0.1)
    assert corrected.desk.furniture.compare.shown == "current"
    assert corrected.lesions.visible


@pytest.mark.parametrize("size", [(1280, 800), (1024, 640)])
def test_the_words_about_what_changed_lie_within_the_picture_and_are_whole(
    corrected: Any, size: tuple[int, int]
) -> None:
    corrected.viewer.window.resize(*size)
    corrected.live(0.3)
    compare = corrected.desk.furniture.compare
    compare.show_last_run()
    corrected.live(0.2)
    assert "What the last network changed" not in compare.banner.text()  # there was nothing before it
    after = corrected.session.labels.values.copy()
    after[2, 20:30, 5:20] = 1
    made = corrected.session.propose_rest(after, [2], "a network of a very long name (and its file) on the rest", RUN)
    corrected.desk.segmented_rest.emit(made)
    corrected.live(0.2)
    assert compare.banner.text().startswith("<b>What the last network changed</b><br>on slice 3<br>")
    assert_whole(compare.banner)
    compare.banner.say("<b>" + "What a network of a very long name changed " * 4 + "</b><br>■ Added 12.3 mL")
    assert_whole(compare.banner)
    compare.banner.say("■ Added 12.3 mL")
    assert compare.banner.height() < 2 * compare.banner.fontMetrics().lineSpacing()


def assert_whole(label: Any) -> None:
    assert label.isVisible()
    assert label.parentWidget().rect().contains(label.geometry())
    assert label.height() >= label.heightForWidth(label.width())
    assert label.wordWrap() or label.width() >= label.sizeHint().width()
