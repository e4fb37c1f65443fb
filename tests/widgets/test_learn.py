from __future__ import annotations

import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QTextDocumentFragment
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_covseg.io.cases import find_cases
from napari_covseg.io.packing import packed
from napari_covseg.io.stated import NOTHING
from napari_covseg.jobs import drain
from napari_covseg.networks import Checkpoint, checkpoint
from napari_covseg.networks.learned import Learned
from napari_covseg.networks.lineage import decisions, is_promoted
from napari_covseg.review import difference
from napari_covseg.training import rehearsal
from napari_covseg.training.comparison import Row
from napari_covseg.training.gate import judged
from napari_covseg.training.neighbourhoods import LEARNED_BEFORE, TOO_CLOSE
from napari_covseg.widgets.learn_panel import LearnPanel
from napari_covseg.widgets.loss_curve import tick_spacing
from napari_covseg.workbench import checkpoint_title
from napari_covseg.workbench.long_work import reading

from .conftest import SHAPE, write_scan

pytestmark = pytest.mark.usefixtures("small_grids")
LEFT = Qt.MouseButton.LeftButton
MANY_STEPS = 400
"""More than are ever done: the runs with so many are ended early."""

DEADLINE_S = 300
"""The thread that learns stands back for whatever else the machine does; a test that fails takes so long, no other."""


@pytest.fixture
def learning(window: Any, scan_path: Path, trained: Checkpoint, short_rehearsal: None) -> Any:
    """A window at the Learn panel; the scan is labelled, and a network of random weights is in use."""
    driver = window()
    driver.open(scan_path)
    driver.bench.choice.take("res_att_unet", trained)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:, 18:30, 6:18] = 1
    for index in range(len(labels)):
        driver.session.propose(index, labels[index], "a network", "run")
    driver.tabs.show_panel("Learn")
    driver.panel = driver.tabs.panels["Learn"]
    driver.live(0.1)
    return driver


def press(driver: Any, button: Any) -> None:
    assert button.isVisible()
    assert button.isEnabled(), button.toolTip()
    driver.tabs.tabs.currentWidget().ensureWidgetVisible(button)
    driver.live(0.05)
    QTest.mouseClick(button, LEFT)
    driver.live(0.1)


def review(driver: Any, *indices: int) -> None:
    for index in indices:
        driver.session.mark_reviewed(index)
    driver.live(0.05)


def learned(driver: Any, steps: int) -> Checkpoint:
    """Learn with a press of the button, and return the child."""
    found: list[Checkpoint] = []
    driver.bench.learned.connect(found.append)
    driver.panel.steps = steps
    press(driver, driver.panel.go)
    driver.until(lambda: not driver.bench.runner.busy, seconds=DEADLINE_S)
    driver.live(0.1)
    assert found, driver.tabs.state_line.message.text()
    return found[0]


def click_item(driver: Any, number: int) -> None:
    tree = driver.panel.family.tree
    driver.tabs.tabs.currentWidget().ensureWidgetVisible(tree)
    driver.live(0.05)
    place = tree.visualItemRect(driver.panel.family.items[number]).center()
    QTest.mouseClick(tree.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, place)
    driver.live(0.1)


def test_that_there_are_slices_to_judge_by_is_not_doubted_beforehand(learning: Any) -> None:
    review(learning, 0, 11)
    assert learning.panel.ready.text().startswith("<b>2 reviewed slices</b> to learn from")
    assert "judged" not in learning.panel.ready.text()


def test_that_the_network_in_use_learned_the_slices_is_said_beforehand(learning: Any, trained: Checkpoint) -> None:
    review(learning, 0, 11)
    known = {learning.bench.current.scan.voxels_sha256: Learned.of((0, 11))}
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256, "learned": known})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    learning.bench.choice.promote(child, learning.bench.reader)
    learning.live(0.1)
    assert learning.panel.ready.text().endswith(f"could not be judged: {LEARNED_BEFORE}.")


def test_that_nothing_could_judge_is_said_to_who_comes_from_marking_slices_in_review(learning: Any) -> None:
    learning.tabs.show_panel("Review")
    review(learning, 6)
    learning.tabs.show_panel("Learn")
    learning.live(0.1)
    assert learning.panel.ready.text().endswith(f"What is learned now could not be judged: {TOO_CLOSE}.")


def test_what_is_not_judged_is_used_only_with_a_reason(learning: Any, trained: Checkpoint) -> None:
    panel, rows = learning.panel, learning.panel.verdict
    assert "Mark at least one slice reviewed" in panel.why.text()
    review(learning, 6)
    assert panel.ready.text().startswith("<b>1 reviewed slice</b> to learn from")
    assert panel.ready.text().endswith(f"What is learned now could not be judged: {TOO_CLOSE}.")
    child = learned(learning, steps=2)
    assert len(panel.curve.losses) == 2
    assert not is_promoted(child)
    assert "Nobody can say yet" in rows.result.text()
    assert panel.curve.held_out == ()
    assert panel.curve.note.isVisible()
    assert TOO_CLOSE in panel.curve.note.text()
    assert child.card.metrics["gate"]["words"] in rows.result.text()
    assert "the bundled sample" in rows.figures.text()
    assert "older cases" not in rows.result.text() + rows.figures.text()
    assert learning.bench.choice.checkpoint == trained
    assert rows.use.text() == "Use it all the same"
    assert "bold" in rows.keep.styleSheet()
    press(learning, rows.use)
    assert learning.bench.choice.checkpoint == trained
    assert rows.why.isVisible()
    QTest.keyClick(rows.why, Qt.Key.Key_Return)
    learning.live(0.1)
    assert learning.bench.choice.checkpoint == trained
    assert "Say in a few words why" in learning.tabs.state_line.message.text()
    QTest.keyClicks(rows.why, "it finds the lower lobe")
    QTest.keyClick(rows.why, Qt.Key.Key_Return)
    learning.live(0.1)
    assert learning.bench.choice.checkpoint == child
    said = learning.tabs.state_line.message.text()
    assert said == f"Segment and Learn use {checkpoint_title(child)} from now on."
    assert [(each.checkpoint_sha256, each.reason) for each in decisions()] == [
        (child.sha256, "it finds the lower lobe")
    ]
    assert not rows.choice.isVisible()
    assert learning.tabs.panels["Segment"].form.checkpoint.value == child
    assert panel.ready.text().startswith("<b>0 reviewed slices</b> since the last fine-tune, 1 in all")


def test_the_old_one_is_kept_and_the_lineage_asks_for_a_reason_too(learning: Any, trained: Checkpoint) -> None:
    panel = learning.panel
    review(learning, 6)
    child = learned(learning, steps=2)
    press(learning, panel.verdict.keep)
    assert learning.bench.choice.checkpoint == trained
    assert not panel.verdict.result.isVisible()
    assert not panel.curve.isVisible()
    said = learning.tabs.state_line.message.text()
    assert said == f"Segment and Learn go on with {checkpoint_title(trained)}."
    assert decisions() == ()
    offered = [each for each in learning.tabs.panels["Segment"].form.checkpoint.choices if each is not None]
    assert trained in offered
    assert child not in offered
    names = [item.toolTip(0).split(":")[0] for item in panel.family.items]
    parent, below = names.index(trained.name), names.index(child.name)
    assert panel.family.items[below].parent() is panel.family.items[parent]
    assert [panel.family.items[number].text(1) for number in (parent, below)] == ["in use", "not promoted"]
    click_item(learning, below)
    assert learning.bench.choice.checkpoint == trained
    assert panel.verdict.figures.isVisible()
    press(learning, panel.verdict.use)
    QTest.keyClicks(panel.verdict.why, "second thoughts, 2 < 3")
    QTest.keyClick(panel.verdict.why, Qt.Key.Key_Return)
    learning.live(0.1)
    assert learning.bench.choice.checkpoint == child
    assert panel.verdict.figures.isVisible()
    assert panel.family.items[below].text(1) == "in use, overruled"
    click_item(learning, parent)
    assert panel.family.items[below].text(1) == "overruled"
    told = QTextDocumentFragment.fromHtml(panel.family.items[below].toolTip(1)).toPlainText()
    assert f"promoted all the same by {decisions()[-1].reader}" in told
    assert told.endswith(": second thoughts, 2 < 3")
    click_item(learning, below)
    assert learning.bench.choice.checkpoint == child
    assert not panel.verdict.why.isVisible()
    said = learning.tabs.state_line.message.text()
    assert "Its gate held it back; promoted all the same by" in said
    assert said.endswith(": second thoughts, 2 < 3")
    click_item(learning, parent)
    assert learning.bench.choice.checkpoint == trained
    said = learning.tabs.state_line.message.text()
    assert said == f"Segment and Learn use the Residual Attention U-Net called {trained.name} from now on."
    assert not panel.verdict.result.isVisible()
    assert not panel.verdict.figures.isVisible()
    assert panel.family.items[parent].text(1) == "in use"


def test_a_damaged_checkpoint_is_told_where_it_is_missed(learning: Any, trained: Checkpoint) -> None:
    panel = learning.panel
    assert not panel.family.unreadable.isVisible()
    (trained.path.parent / "mine <1>.safetensors").write_bytes(trained.path.read_bytes()[:5000])
    learning.bench.choice.take(trained.card.network, trained)
    learning.live(0.1)
    assert panel.family.unreadable.isVisible()
    told = QTextDocumentFragment.fromHtml(panel.family.unreadable.text()).toPlainText()
    assert told == (
        "Left out of this list: mine <1>.safetensors is not a checkpoint of this program, or it is damaged."
    )
    tree = panel.family.tree
    assert len(panel.family.items) > 1
    assert 0 <= tree.viewport().height() - tree.visualItemRect(panel.family.items[-1]).bottom() < 6  # no gap between


def test_a_slice_that_is_reviewed_while_it_learns_is_still_to_be_learned(learning: Any) -> None:
    panel, found = learning.panel, []
    learning.bench.learned.connect(found.append)
    review(learning, 6)
    panel.steps = MANY_STEPS
    press(learning, panel.go)
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    review(learning, 2)
    press(learning, panel.enough)
    learning.until(lambda: found, seconds=DEADLINE_S)
    learning.live(0.1)
    assert panel.ready.text().startswith("<b>2 reviewed slices</b> to learn from")  # the old one is in use
    learning.bench.choice.promote(found[0], "Dr A", "it finds the lower lobe")
    learning.live(0.1)
    assert panel.ready.text().startswith("<b>1 reviewed slice</b> since the last fine-tune, 2 in all")


def test_what_is_asked_is_seen_however_much_stands_above_it(learning: Any, trained: Checkpoint) -> None:
    panel, rows = learning.panel, learning.panel.verdict
    gate = {"gate": {"promoted": False, "judged": True, "words": "so it is, on the whole and in every part. " * 20}}
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256, "metrics": gate})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    panel.curve.clear()
    panel.curve.append(1, 1.0)
    rows.ask(trained, child)
    learning.live(0.2)
    area = learning.tabs.tabs.currentWidget()
    assert area.widget().height() > area.viewport().height()
    for each in (rows.use, rows.keep):
        assert not each.visibleRegion().isEmpty()
        assert each.visibleRegion().boundingRect() == each.rect()
    QTest.mouseClick(rows.use, LEFT)
    learning.live(0.1)
    assert rows.why.visibleRegion().boundingRect() == rows.why.rect()
    learning.tabs.show_panel("Review")
    learning.live(0.1)
    assert not rows.use.isVisible()
    learning.tabs.show_panel("Learn")
    QTest.mouseClick(rows.keep, LEFT)
    learning.live(0.1)
    assert not rows.use.isVisible()
    panel.curve.clear()


def test_what_is_better_is_used_at_a_press(learning: Any, trained: Checkpoint) -> None:
    row = Row("ggo", 0.4, 0.6, None, None, 3.0, 1.0, None, None, 900)
    figures = judged((row,), (row,), (2, 12), 0.01).figures()
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256, "metrics": {"gate": figures}})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("better.safetensors"))
    rows = learning.panel.verdict
    rows.ask(trained, child)
    learning.live(0.1)
    assert "The new one is recommended." in rows.result.text()
    assert "2 slices it did not learn from" in rows.figures.text()
    assert "bold" in rows.use.styleSheet()
    press(learning, rows.use)
    assert learning.bench.choice.checkpoint == child
    assert not rows.why.isVisible()
    assert decisions() == ()


def test_a_run_rests_goes_on_and_ends_early_with_a_verdict(learning: Any) -> None:
    panel, found = learning.panel, []
    learning.bench.learned.connect(found.append)
    review(learning, 6)
    panel.steps = MANY_STEPS
    aside: list[str] = []
    empty_plots: list[bool] = []
    learning.desk.ticked.connect(
        lambda: aside.append(panel.progress.text()) if panel._run is not None and panel._run.progress.aside else None
    )
    learning.desk.ticked.connect(lambda: empty_plots.append(panel.curve.isVisible() and not panel.curve.losses))
    press(learning, panel.go)
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    assert aside
    assert not any("left" in text for text in aside)
    assert "measuring how good it is now" in aside
    assert not any(empty_plots)
    assert panel.curve.isVisible()
    started, first = time.monotonic(), len(panel.curve.losses)
    learning.until(lambda: len(panel.curve.losses) > first + 1, seconds=DEADLINE_S)
    step_s = (time.monotonic() - started) / (len(panel.curve.losses) - first)
    assert panel.go.toolTip().startswith("End without a new network")
    assert panel.pause.toolTip().startswith("Let the processor rest")
    press(learning, panel.pause)
    assert panel.pause.toolTip() == "Go on with the next step"
    begun = len(panel.curve.losses)
    learning.live(max(1.0, 4 * step_s))
    rested = len(panel.curve.losses)
    assert rested <= begun + 1  # the step that was begun is finished first
    assert "paused" in panel.progress.text()
    assert panel.pause.text() == "Go on"
    press(learning, panel.pause)
    learning.until(lambda: len(panel.curve.losses) > rested + 1, seconds=DEADLINE_S)
    press(learning, panel.enough)
    assert not panel.enough.isEnabled()
    assert "judged" in panel.enough.toolTip()
    assert panel.progress.text() == "finishing: judging the best"
    learning.desk.ticked.emit()
    assert learning.tabs.state_line.running.text().endswith("finishing: judging the best")
    learning.until(lambda: found, seconds=DEADLINE_S)
    learning.live(0.1)
    assert len(panel.curve.losses) < MANY_STEPS
    assert panel.verdict.choice.isVisible()
    assert not panel.running.isVisible()
    assert learning.tabs.state_line.message.text().startswith("Learned from case_ct. Nobody can say yet")


def test_a_run_that_was_stopped_goes_on_where_it_was(learning: Any) -> None:
    panel, found = learning.panel, []
    learning.bench.learned.connect(found.append)
    review(learning, 6)
    assert not panel.resume.isVisible()
    panel.steps = MANY_STEPS
    press(learning, panel.go)
    learning.until(lambda: len(panel.curve.losses) > 2, seconds=DEADLINE_S)
    press(learning, panel.go)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.1)
    press(learning, panel.resume)
    assert not panel.resume.isVisible()
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    assert learning.bench.runner.runs[0].progress.total == MANY_STEPS
    press(learning, panel.enough)
    learning.until(lambda: found, seconds=DEADLINE_S)
    learning.live(0.1)
    assert not panel.resume.isVisible()


def test_a_run_of_other_slices_is_not_gone_on_with(learning: Any) -> None:
    panel = learning.panel
    review(learning, 6)
    panel.steps = MANY_STEPS
    press(learning, panel.go)
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    press(learning, panel.go)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.1)
    assert panel.resume.isVisible()
    values = learning.session.labels.values
    after = values[6:7].copy()
    after[0, 0, 0] = 2
    learning.session.correct(difference(values[6:7], after, "brush", "a stroke", first_slice=6))
    review(learning, 6)
    assert not panel.resume.isVisible()


def open_while_it_learns(driver: Any, path: Path) -> None:
    """Open a scan as if its turn came between two steps of the run that goes on."""
    driver.bench._take(drain(reading(path, NOTHING)))
    driver.live(0.1)


def begun(driver: Any) -> None:
    """Learn, with one slice reviewed, until there is a curve; then let it rest."""
    review(driver, 6)
    driver.panel.steps = MANY_STEPS
    press(driver, driver.panel.go)
    driver.until(lambda: len(driver.panel.curve.losses) > 1, seconds=DEADLINE_S)
    press(driver, driver.panel.pause)
    driver.live(0.2)


def test_a_run_stays_that_of_its_scan_while_another_is_open(learning: Any, scan_path: Path, tmp_path: Path) -> None:
    panel, found, first = learning.panel, [], learning.session.scan_sha256
    learning.bench.learned.connect(found.append)
    begun(learning)
    older = panel.older.which.text()
    open_while_it_learns(learning, write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    assert panel.go.text() == "Stop"
    assert panel.curve.isVisible()
    assert panel.progress.text().startswith("Learning from your corrections of case_ct · ")
    assert panel.older.which.text() == older
    press(learning, panel.enough)
    learning.until(lambda: found, seconds=DEADLINE_S)
    learning.live(0.2)
    (child,) = found
    assert learning.session.scan_sha256 != first
    assert child.card.scans_sha256 == (first,)
    assert panel.verdict.result.text().startswith("Learned from case_ct. <b>")
    assert panel.curve.isVisible()
    assert learning.tabs.state_line.message.text().startswith("Learned from case_ct. Nobody can say yet")
    press(learning, panel.verdict.use)
    QTest.keyClicks(panel.verdict.why, "it finds the lower lobe")
    QTest.keyClick(panel.verdict.why, Qt.Key.Key_Return)
    learning.live(0.1)
    assert learning.bench.choice.checkpoint == child
    assert not panel.rest.isVisible()  # it has learned nothing of the scan that is open
    learning.open(scan_path)
    assert panel.rest.isVisible()
    assert not panel.verdict.result.isVisible()  # it is answered
    assert not panel.curve.isVisible()


def test_a_verdict_waits_where_a_scan_was_asked_for_while_it_learned(learning: Any, tmp_path: Path) -> None:
    panel = learning.panel
    begun(learning)
    learning.bench.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    press(learning, panel.enough)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.2)
    assert learning.bench.current.scan.name == "other_ct"
    assert panel.verdict.result.text().startswith("Learned from case_ct. <b>")
    assert panel.verdict.choice.isVisible()
    assert panel.curve.isVisible()
    assert learning.tabs.state_line.message.text().startswith("Learned from case_ct. Nobody can say yet")


def test_nothing_is_begun_with_another_network_where_the_one_in_use_is_gone(learning: Any, trained: Checkpoint) -> None:
    panel = learning.panel
    review(learning, 6)
    known = {learning.bench.current.scan.voxels_sha256: Learned.of((6,))}
    scans = (learning.session.scan_sha256,)
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256, "learned": known, "scans_sha256": scans})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    for pressed in (panel.go, panel.rest.go, learning.tabs.panels["Segment"].go):
        learning.bench.choice.promote(child, learning.bench.reader)
        learning.live(0.1)
        learning.tabs.show_panel("Learn" if pressed in (panel.go, panel.rest.go) else "Segment")
        away = child.path.rename(child.path.with_suffix(".away"))
        press(learning, pressed)
        assert not learning.bench.runner.busy
        said = learning.tabs.state_line.message.text()
        assert said.startswith(f"⚠ {checkpoint_title(child)} is gone from its folder. Nothing was begun; ")
        assert learning.bench.choice.checkpoint == child
        assert panel.family.isVisible() or pressed not in (panel.go, panel.rest.go)
        assert pressed.isVisible()
        away.rename(child.path)
    panel.steps = 1
    learning.tabs.show_panel("Learn")
    press(learning, panel.go)
    assert learning.bench.runner.busy
    press(learning, panel.go)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)


def test_a_child_that_is_ready_while_another_is_in_use_is_asked_about_beside_that(
    learning: Any, trained: Checkpoint
) -> None:
    panel = learning.panel
    begun(learning)
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256})
    other = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("other.safetensors"))
    learning.bench.choice.promote(other, learning.bench.reader)
    press(learning, panel.enough)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.2)
    assert f"Compared with {checkpoint_title(trained)}, not with the one in use." in panel.verdict.result.text()
    press(learning, panel.verdict.keep)
    assert learning.bench.choice.checkpoint == other


def test_what_the_gate_said_of_the_network_in_use_is_shown_at_a_click(learning: Any, trained: Checkpoint) -> None:
    panel = learning.panel
    review(learning, 6)
    child = learned(learning, steps=2)
    press(learning, panel.verdict.keep)
    names = [item.toolTip(0).split(":")[0] for item in panel.family.items]
    learning.bench.choice.promote(child, "A", "it finds the lower lobe")
    learning.live(0.1)
    assert not panel.verdict.figures.isVisible()
    click_item(learning, names.index(child.name))
    assert panel.verdict.figures.isVisible()
    assert child.card.metrics["gate"]["words"] in panel.verdict.result.text()
    assert not panel.verdict.is_asking
    click_item(learning, names.index(trained.name))
    assert not panel.verdict.figures.isVisible()  # no gate was asked about it


def test_a_child_of_another_than_the_one_in_use_says_with_what_it_was_compared(
    learning: Any, trained: Checkpoint
) -> None:
    panel = learning.panel
    review(learning, 6)
    child = learned(learning, steps=2)
    press(learning, panel.verdict.keep)
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256})
    other = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("other.safetensors"))
    learning.bench.choice.promote(other, learning.bench.reader)
    learning.live(0.1)
    names = [item.toolTip(0).split(":")[0] for item in panel.family.items]
    click_item(learning, names.index(child.name))
    assert f"Compared with {checkpoint_title(trained)}, not with the one in use." in panel.verdict.result.text()
    assert panel.verdict.keep.text() == "Keep the one in use"
    press(learning, panel.verdict.keep)
    assert learning.bench.choice.checkpoint == other


def test_who_takes_a_child_elsewhere_is_asked_no_more(learning: Any) -> None:
    panel = learning.panel
    review(learning, 6)
    child = learned(learning, steps=2)
    assert panel.verdict.is_asking
    learning.bench.choice.promote(child, "A", "it finds the lower lobe")
    learning.live(0.1)
    assert not panel.verdict.is_asking
    assert panel.verdict.result.isVisible()
    said = learning.tabs.state_line.message.text()
    assert said == f"Segment and Learn use {checkpoint_title(child)} from now on."


def test_the_curve_of_a_stopped_run_is_not_that_of_another_scan_or_child(
    learning: Any, scan_path: Path, tmp_path: Path
) -> None:
    panel = learning.panel
    review(learning, 6)
    child = learned(learning, steps=2)
    press(learning, panel.verdict.keep)
    begun(learning)
    open_while_it_learns(learning, write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    press(learning, panel.go)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.1)
    assert not panel.curve.isVisible()
    said = learning.tabs.state_line.message.text()
    assert said.startswith("Learning from your corrections of case_ct: stopped; what it learned is kept")
    assert not panel.resume.isVisible()
    learning.open(scan_path)
    assert panel.resume.isVisible()
    panel.curve.show()
    names = [item.toolTip(0).split(":")[0] for item in panel.family.items]
    click_item(learning, names.index(child.name))
    assert panel.verdict.result.isVisible()
    assert not panel.curve.isVisible()


def test_slices_that_are_held_out_have_a_curve_of_their_own(learning: Any) -> None:
    curve = learning.panel.curve
    review(learning, 1, 2, 10)
    child = learned(learning, steps=2)
    gate = child.card.metrics["gate"]
    assert gate["slices"] > 0
    assert [step for step, _ in curve.held_out] == [1, 2]
    assert all(np.isfinite(loss) for _, loss in curve.held_out)
    assert not curve.note.isVisible()
    curves = [item for item in curve._plot.getPlotItem().listDataItems() if item.getData()[0] is not None]
    assert len(curves) == 2


def test_the_stages_of_a_cascade_follow_each_other_on_the_axis(learning: Any) -> None:
    curve = learning.panel.curve
    curve.clear()
    curve.dealt("")
    for stage in range(2):
        for step in (1, 2, 3):
            curve.append(step, 1.0 - stage / 2)
        curve.append_held_out(3, 0.5)
    assert len(curve.losses) == 6
    assert [step for step, _ in curve.held_out] == [3, 6]
    assert curve.note.text() == ""
    curve.clear()
    assert (curve.losses, curve.held_out) == ((), ())


def test_the_key_lies_above_the_curves_and_steps_are_whole(learning: Any) -> None:
    curve = learning.panel.curve
    curve.clear()
    curve.dealt("")
    for step in (1, 2, 3):
        curve.append(step, 1.0)
    learning.live(0.1)
    assert curve.key.isVisible()
    assert curve.key.geometry().bottom() < curve._plot.geometry().top()
    axis = curve._plot.getAxis("bottom")
    ticks = [tick for _, values in axis.tickValues(1, 3, 300) for tick in values]
    assert sorted(ticks) == [1, 2, 3]
    assert [tick_spacing(steps) for steps in (1, 6, 7, 12, 80, 600)] == [1, 1, 2, 2, 20, 100]
    curve.dealt(TOO_CLOSE)
    assert not curve.key.isVisible()


def test_a_single_step_is_seen_and_has_its_number(learning: Any) -> None:
    curve = learning.panel.curve
    curve.clear()
    curve.dealt(TOO_CLOSE)
    curve.append(7, 0.8)
    learning.live(0.1)
    drawn = curve._curves["what it learns"]
    axis = curve._plot.getAxis("bottom")
    assert drawn.opts["symbol"] == "o"
    assert [tick for _, values in axis.tickValues(*axis.range, axis.width()) for tick in values] == [7]
    curve.append(8, 0.7)
    assert drawn.opts["symbol"] is None
    curve.clear()


def test_where_the_old_one_is_gone_it_tells_what_is_used_instead(learning: Any, trained: Checkpoint) -> None:
    rows, bench = learning.panel.verdict, learning.bench
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    rows.ask(trained, child)
    learning.live(0.1)
    trained.path.unlink()
    press(learning, rows.keep)
    used = bench.choice.checkpoint
    assert used != trained
    said = learning.tabs.state_line.message.text()
    assert said.endswith(f"is gone from its folder. Segment and Learn go on with {checkpoint_title(used)}.")


@pytest.mark.parametrize("promoted", [False, True])
def test_what_is_gone_is_not_used_and_nothing_is_decided_about_it(
    learning: Any, trained: Checkpoint, promoted: bool
) -> None:
    rows, family = learning.panel.verdict, learning.panel.family
    gate = {"gate": {"promoted": promoted, "judged": True, "words": "so"}}
    card = trained.card.model_copy(update={"parent_sha256": trained.sha256, "metrics": gate})
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    family.show_family()
    rows.ask(trained, child)
    learning.live(0.1)
    child.path.unlink()
    press(learning, rows.use)
    if not promoted:
        QTest.keyClicks(rows.why, "it finds the lower lobe")
        QTest.keyClick(rows.why, Qt.Key.Key_Return)
        learning.live(0.1)
        assert rows.why.text() == "it finds the lower lobe"
    gone = f"{checkpoint_title(child)} is gone from its folder."
    assert learning.tabs.state_line.message.text().endswith(gone)
    assert learning.bench.choice.checkpoint == trained
    assert decisions() == ()
    rows.clear()
    learning.bench.said.emit("")
    names = [item.toolTip(0).split(":")[0] for item in family.items]
    click_item(learning, names.index(child.name))
    if promoted:
        assert learning.tabs.state_line.message.text().endswith(gone)
        assert child.name not in [item.toolTip(0).split(":")[0] for item in family.items]
    else:
        assert rows.use.isVisible()
    assert learning.bench.choice.checkpoint == trained


def test_the_curve_of_an_attempt_for_which_memory_ran_out_goes(learning: Any) -> None:
    curve = learning.panel.curve
    curve.clear()
    curve.dealt("")
    for stage, losses in (("first", (1.0, 0.9)), ("second", (0.8, 0.7, 0.6)), ("second", (0.5, 0.4))):
        curve.begin(stage)
        for step, loss in enumerate(losses, 1):
            curve.append(step, loss)
        curve.append_held_out(2, losses[0])
    assert curve.losses == (1.0, 0.9, 0.5, 0.4)
    assert curve.held_out == ((2, 1.0), (4, 0.5))
    drawn = [item.getData()[0].tolist() for item in curve._plot.getPlotItem().listDataItems()]
    assert drawn == [[1, 2, 3, 4], [2, 4]]
    curve.begin("second")
    assert curve.losses == (1.0, 0.9)
    curve.clear()


def test_a_curve_that_goes_on_midway_says_so(learning: Any) -> None:
    curve = learning.panel.curve
    curve.clear()
    curve.dealt(TOO_CLOSE)
    curve.append(3, 1.0)
    curve.append(4, 0.9)
    assert curve.note.text().startswith("It went on at step 3; what was learned before is not drawn. There is no")
    curve.clear()
    assert curve.note.text() == ""


def choose_in_dialog(driver: Any, button: Any, place: Path) -> None:
    """Press a button that asks for a folder or file, type the place into Qt's own dialog, and press Enter."""

    def fill() -> None:
        if dialog := QApplication.activeModalWidget():
            timer.stop()
            line = dialog.findChild(QLineEdit, "fileNameEdit")
            line.setText(str(place))
            QTest.keyClick(line, Qt.Key.Key_Return)

    timer = QTimer()
    timer.timeout.connect(fill)
    timer.start(100)
    press(driver, button)


@pytest.fixture
def older_folder(tmp_path: Path, _short_sample: tuple[Path, Path, Path]) -> Path:
    """Older cases of the reader's own: one case of one patient."""
    folder = tmp_path / "ward_7"
    shutil.copytree(_short_sample[0].parent, folder)
    return folder


def test_older_cases_are_chosen_kept_while_the_window_is_open_and_given_back(learning: Any, older_folder: Path) -> None:
    rows = learning.panel.older
    assert rows.which.text() == "Older cases: <b>the bundled sample</b>"
    assert rows.what_for.isVisible()
    assert not rows.back.isVisible()
    choose_in_dialog(learning, rows.folder_button, older_folder)
    assert rows.which.text() == "Older cases: <b>ward_7</b>, 1 case of 1 patient"
    assert LearnPanel(learning.viewer).older.which.text() == rows.which.text()
    press(learning, rows.back)
    assert rows.which.text() == "Older cases: <b>the bundled sample</b>"
    assert learning.bench.older is None


def test_the_sample_is_not_promised_where_it_is_what_is_learned(
    learning: Any, scan_path: Path, older_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = learning.panel.older
    monkeypatch.setattr(import_module("napari_covseg.workbench.older_cases"), "sample_scan", lambda: scan_path)
    rows.show_state()
    assert rows.which.text() == "Older cases: <b>none</b>"
    assert "must not forget" not in rows.what_for.text() + rows.which.toolTip()
    assert rows.what_for.text().endswith("choose older annotated cases.")
    rows.choose(older_folder)
    assert rows.which.text() == "Older cases: <b>ward_7</b>, 1 case of 1 patient"
    assert rows.what_for.text().startswith("It must not forget these")


def test_a_pack_is_chosen_too(learning: Any, older_folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "ward.npz"
    drain(packed(find_cases([older_folder]), pack))
    choose_in_dialog(learning, learning.panel.older.pack_button, pack)
    assert learning.panel.older.which.text() == "Older cases: <b>ward.npz</b>, 1 case of 1 patient"


def test_a_folder_without_cases_is_told_and_loses_nothing(learning: Any, older_folder: Path, tmp_path: Path) -> None:
    rows, empty = learning.panel.older, tmp_path / "empty"
    empty.mkdir()
    rows.choose(older_folder)
    choose_in_dialog(learning, rows.folder_button, empty)
    assert "empty holds no case" in learning.tabs.state_line.message.text()
    assert "ward_7" in rows.which.text()
    assert learning.bench.older.place == older_folder


def test_the_chosen_cases_are_rehearsed_and_a_stopped_run_goes_on_only_with_them(
    learning: Any, older_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, found = learning.panel, []
    learning.bench.learned.connect(found.append)
    monkeypatch.setattr(rehearsal, "sample_scan", lambda: pytest.fail("the sample was rehearsed"))
    review(learning, 6)
    panel.older.choose(older_folder)
    panel.steps = MANY_STEPS
    press(learning, panel.go)
    assert not panel.older.folder_button.isVisible()
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    press(learning, panel.go)
    learning.until(lambda: not learning.bench.runner.busy, seconds=DEADLINE_S)
    learning.live(0.1)
    assert panel.resume.isVisible()
    press(learning, panel.older.back)
    assert not panel.resume.isVisible()
    panel.older.choose(older_folder)
    press(learning, panel.resume)
    learning.until(lambda: len(panel.curve.losses) > 1, seconds=DEADLINE_S)
    press(learning, panel.enough)
    learning.until(lambda: found, seconds=DEADLINE_S)
    learning.live(0.1)
    assert found[0].card.metrics["replay"] == {"rehearsed": 1, "asked": 1}
    assert "slices of older cases" in panel.verdict.figures.text()
    assert panel.older.folder_button.isVisible()
    assert not panel.older.what_for.isVisible()


@pytest.fixture
def taken_up(learning: Any, trained: Checkpoint) -> Checkpoint:
    """A child that has learned from the open scan is in use; one slice is reviewed."""
    review(learning, 6)
    known = {"parent_sha256": trained.sha256, "scans_sha256": (learning.session.scan_sha256,)}
    card = trained.card.model_copy(update=known)
    child = checkpoint.save(checkpoint.revived(trained), card, trained.path.with_name("child.safetensors"))
    learning.bench.choice.promote(child, learning.bench.reader)
    learning.live(0.1)
    return child


def test_the_rest_is_segmented_again_with_the_child_and_shows_what_changed(learning: Any, taken_up: Checkpoint) -> None:
    rest, session, child = learning.panel.rest, learning.session, taken_up
    learning.viewer.dims.set_current_step(0, 3)
    learning.key(Qt.Key.Key_P)
    learning.stroke((40, 5), (40, 12))
    assert session.touched == {3}
    before, rows = session.labels.values.copy(), len(session.trail)
    press(learning, rest.go)
    learning.until(lambda: not rest.is_running, seconds=DEADLINE_S)
    learning.live(0.2)
    after = session.labels.values
    own = [3, 6]
    assert np.array_equal(after[own], before[own])
    changed = [index for index in range(len(after)) if not np.array_equal(after[index], before[index])]
    assert changed
    made = [row for row in session.trail[rows:] if row.kind == "correction"]
    assert [(row.detail["checkpoint_sha256"], row.detail["slices"]) for row in made] == [(child.sha256, changed)]
    assert session.reviewed == (6,)
    compare = learning.desk.furniture.compare
    assert compare.shown == "last run"
    shown = learning.viewer.layers["last run"].data
    assert np.array_equal(shown > 0, after != before)
    assert np.array_equal(shown == 2, (before > 0) & (after == 0))
    assert "changed" in compare.banner.text()
    learning.key(Qt.Key.Key_C)
    assert compare.shown == "current"
    assert learning.lesions.visible
    for expected in ("proposal", "difference", "last run", "current"):
        learning.key(Qt.Key.Key_C)
        assert compare.shown == expected
    assert np.array_equal(learning.lesions.data, after)
    learning.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    learning.live(0.1)
    assert np.array_equal(session.labels.values, before)


@pytest.mark.usefixtures("taken_up")
def test_a_stopped_rest_leaves_every_slice_as_it_is(learning: Any, quick_network: Any) -> None:
    quick_network(0.3)
    rest, before = learning.panel.rest, learning.session.labels.values.copy()
    press(learning, rest.go)
    learning.until(lambda: "of 11 slices" in rest.progress.text())
    assert rest.go.toolTip() == "End it after this slice; nothing is changed then"
    assert rest.go.text().startswith("Stop")
    press(learning, rest.go)
    learning.until(lambda: not rest.is_running)
    learning.live(0.1)
    assert np.array_equal(learning.session.labels.values, before)
    assert "nothing was changed" in learning.tabs.state_line.message.text()
    assert rest.go.text() == "Re-segment the rest of this scan"
    assert learning.desk.furniture.compare.shown == "current"


@pytest.mark.usefixtures("taken_up")
def test_what_is_reviewed_while_the_rest_runs_is_left_as_it_is(learning: Any, quick_network: Any) -> None:
    quick_network(0.1)
    rest, session = learning.panel.rest, learning.session
    before = session.labels.values.copy()
    press(learning, rest.go)
    review(learning, 9)
    learning.until(lambda: not rest.is_running)
    learning.live(0.1)
    assert np.array_equal(session.labels.values[[6, 9]], before[[6, 9]])
    assert not np.array_equal(session.labels.values[8], before[8])
    assert session.reviewed == (6, 9)


def test_the_rest_is_offered_only_for_a_network_that_learned_from_the_scan(
    learning: Any, taken_up: Checkpoint, trained: Checkpoint
) -> None:
    assert learning.panel.rest.isVisible()
    learning.bench.choice.take("res_att_unet", trained)
    learning.live(0.05)
    assert not learning.panel.rest.isVisible()
    learning.bench.choice.take("res_att_unet", taken_up)
    learning.live(0.05)
    assert learning.panel.rest.isVisible()


@pytest.mark.usefixtures("taken_up")
def test_where_nothing_is_left_it_says_so(learning: Any) -> None:
    review(learning, *range(12))
    assert not learning.panel.rest.go.isEnabled()
    assert "Every slice is reviewed" in learning.panel.rest.why.text()
    learning.session.unmark(4)
    learning.live(0.05)
    assert learning.panel.rest.go.isEnabled()
