from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_covseg.jobs import Progress
from napari_covseg.networks import Checkpoint
from napari_covseg.volume import LESIONS, LabelMap

nib = pytest.importorskip("nibabel")
napari = pytest.importorskip("napari")

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the window in one process, unless each has its own screen: then those of a file."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group(item.path.stem if os.environ.get("COVSEG_HEADLESS") else "window"))


SHAPE = (12, 48, 40)  # slices, rows, columns in reading order
SPACING_MM = (3.0, 1.5, 1.5)


@dataclass
class Driver:
    """A real window with CovSeg in it, and hands to drive it with."""

    viewer: Any
    desk: Any
    tabs: Any

    @property
    def bench(self) -> Any:
        return self.desk.bench

    @property
    def session(self) -> Any:
        return self.desk.session

    @property
    def lesions(self) -> Any:
        return self.desk.link.layers.lesions

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def live(self, seconds: float = 0.05) -> None:
        from qtpy.QtWidgets import QApplication

        until = time.monotonic() + seconds
        while True:
            QApplication.processEvents()
            if time.monotonic() > until:
                return
            time.sleep(0.005)

    def until(self, true: Callable[[], Any], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.live(0.02)

    def open(self, path: Path) -> None:
        run = self.bench.open(path)
        self.until(lambda: run.over)
        self.live(0.1)

    def key(self, key: Any, modifiers: Any = None) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(self.canvas, key, modifiers or Qt.KeyboardModifier.NoModifier)
        self.live()

    def pixel(self, row: float, column: float) -> Any:
        """Where on the canvas a voxel of the slice on screen is."""
        from qtpy.QtCore import QPoint

        scale = self.lesions.scale
        view = self.viewer.window._qt_viewer.canvas.view
        x, y, *_ = view.camera.transform.map([column * scale[2], row * scale[1], 0, 1])
        x, y = x + view.pos[0], y + view.pos[1]
        return QPoint(round(x), round(y))

    def wheel(self, notches: float, modifiers: Any = None, canvas: Any = None) -> None:
        """Turn the wheel; towards the reader is negative."""
        from qtpy.QtCore import QPoint, QPointF, Qt
        from qtpy.QtGui import QWheelEvent
        from qtpy.QtWidgets import QApplication

        native = canvas or self.canvas
        place = QPointF(native.rect().center())
        event = QWheelEvent(
            place,
            QPointF(native.mapToGlobal(native.rect().center())),
            QPoint(),
            QPoint(0, round(120 * notches)),
            Qt.MouseButton.NoButton,
            modifiers or Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(native, event)
        self.live()

    def right_drag(self, right_px: int, up_px: int) -> None:
        """Press the right button in the middle, move, and let go."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        right, none = Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier
        start = self.canvas.rect().center()
        QTest.mousePress(self.canvas, right, none, start)
        for share in (0.25, 0.5, 1.0):
            move_to(self.canvas, start + QPoint(round(right_px * share), -round(up_px * share)), right)
            self.live(0.02)
        QTest.mouseRelease(self.canvas, right, none, start + QPoint(right_px, -up_px))
        self.live()

    def stroke(
        self, start: tuple[float, float], end: tuple[float, float], between: Callable[[], Any] | None = None
    ) -> None:
        """Press the left button, draw a straight line, and let go."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        move_to(self.canvas, self.pixel(*start))
        QTest.mousePress(self.canvas, left, none, self.pixel(*start))
        for share in (
            *np.linspace(0, 1, 6)[1:],
            1.0,
        ):  # a hand rests before it lets go; vispy drops moves in quick succession
            row, column = np.add(start, share * np.subtract(end, start))
            move_to(self.canvas, self.pixel(row, column), left)
            self.live(0.02)
        if between is not None:
            between()
        QTest.mouseRelease(self.canvas, left, none, self.pixel(*end))
        self.live(0.1)


def move_to(canvas: Any, point: Any, button: Any = None) -> None:
    """Move the mouse, a button held or none: QTest.mouseMove holds none, and moves the pointer of the whole screen."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    no_button, no_key = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    there, on_screen = QPointF(point), QPointF(canvas.mapToGlobal(point))
    event = QMouseEvent(QEvent.Type.MouseMove, there, on_screen, no_button, button or no_button, no_key)
    QApplication.sendEvent(canvas, event)


def write_scan(path: Path, seed: int = 0) -> Path:
    """A box of lung with a round opacity in it, in LPS voxel order, as NIfTI."""
    rng = np.random.default_rng(seed)
    slices, rows, columns = SHAPE
    k, j, i = np.ogrid[:slices, :rows, :columns]
    hu = np.full(SHAPE, -850.0)
    hu[(k - 6) ** 2 * 4 + (j - 24) ** 2 + (i - 12) ** 2 < 60] = -500
    hu = (hu + rng.normal(0, 20, SHAPE)).astype(np.int16)
    file_order = np.ascontiguousarray(hu[::-1].transpose(2, 1, 0))  # x to the left, y to the back, z up
    affine = np.diag([-SPACING_MM[2], -SPACING_MM[1], SPACING_MM[0], 1.0])
    nib.save(nib.Nifti1Image(file_order, affine), path)
    return path


@pytest.fixture
def scan_path(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "case_ct.nii.gz")


@pytest.fixture
def trained(untrained: Checkpoint) -> Checkpoint:
    """A checkpoint of random weights among the reader's own; fast to have, and good enough to press buttons with."""
    return untrained


@pytest.fixture(scope="session")
def _modules_at_rest() -> Iterator[None]:
    """napari looks for garbage whenever a layer goes; looking through all that stays each time takes minutes."""
    import torch  # noqa: F401 - here, since its objects are most of them

    gc.collect()
    yield
    gc.unfreeze()


@pytest.fixture
def collector(_modules_at_rest: None) -> Iterator[pytest.MonkeyPatch]:
    """What was there before a test stays frozen, whatever a window does; `undo` gives a test the real collector."""
    gc.freeze()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gc, "freeze", lambda: None)
        patched.setattr(gc, "unfreeze", lambda: None)
        yield patched


@pytest.fixture
def window(
    make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch, collector: pytest.MonkeyPatch
) -> Iterator[Callable[[], Driver]]:
    """Open a napari window with CovSeg beside the picture."""
    from napari_covseg.widgets.benches import desk_of
    from napari_covseg.widgets.tabs import CovSegTabs

    monkeypatch.setenv("COVSEG_HEADLESS", "1")
    drivers: list[Driver] = []

    def make() -> Driver:
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1280, 800)
        tabs = CovSegTabs(viewer)
        viewer.window.add_dock_widget(tabs, name="CovSeg", area="right")
        drivers.append(Driver(viewer, desk_of(viewer), tabs))
        drivers[-1].live(0.1)
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.desk.close()


@pytest.fixture
def at_work(window: Callable[[], Driver], scan_path: Path) -> Driver:
    """A window with a scan open."""
    driver = window()
    driver.open(scan_path)
    return driver


@pytest.fixture
def quick_network(monkeypatch: pytest.MonkeyPatch, no_weights: None, trained: Checkpoint) -> Callable[[float], None]:
    """A network that calls the middle of every slice ground glass, at a pace that the test sets."""

    def install(seconds_per_slice: float = 0.0) -> None:
        from napari_covseg import inference

        def segmenting(trained: Any, device: str, scan: Any, slices: Any) -> Any:
            values = np.zeros(scan.geometry.shape, dtype=np.uint8)
            for done, index in enumerate(slices, start=1):
                time.sleep(seconds_per_slice)
                values[index, 20:30, 10:20] = 1
                yield inference.SliceDone(index, values[index].copy())
                yield Progress(done, len(slices), f"slice {index + 1}")
            return inference.Segmentation(LabelMap(values, scan.geometry, LESIONS), None, tuple(sorted(slices)), "cpu")

        monkeypatch.setattr(inference, "segmenting", segmenting)

    return install
