"""The tools at hand in a window: their settings, the place the reader points at, and the one that waits for a click."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal

from napari_covseg.review import HuRange, Tip
from napari_covseg.widgets import gestures
from napari_covseg.widgets.handles import BY_NAME, Asked, Handle, Place
from napari_covseg.widgets.layers import brush_tip_mm
from napari_covseg.widgets.other_network import OtherNetwork
from napari_covseg.widgets.picture import Pane
from napari_covseg.widgets.tool_settings import ToolSettings

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

FLAT = 2
IN_3D = (
    "{} needs a place, and a point on the picture is no place in the 3-D display; "
    "go back to the slices with the button for 2-D and 3-D below the layers."
)
NOW_CLICK = "{}: now click the place on the picture (Esc puts the tool down)."


class Toolbox(QObject):  # type: ignore[misc]
    """Takes a tool by key or button and applies it where the reader points.

    By key it works at once, under the cursor, or at the cross-hair where the cursor is not on a picture. By button it
    waits for a click on a picture, if it needs a place.

    Parameters
    ----------
    desk
        Whose scan.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk = desk
        self.settings = ToolSettings()
        self.other = OtherNetwork(desk)
        self.waiting: Handle | None = None
        self._mode_before = ""
        self._pointed: tuple[Any, tuple[float, ...]] | None = None
        self._panes: list[Pane] = []
        desk.opened.connect(self.put_down)

    def watch(self, pane: Pane) -> None:
        """Follow the cursor on a picture, and take the click that a tool waits for."""
        self._panes.append(pane)
        pane.model.mouse_move_callbacks.append(self._on_move)
        pane.model.mouse_drag_callbacks.append(self._on_press)
        pane.native.installEventFilter(self)

    def close(self) -> None:
        """Watch no more."""
        for pane in self._panes:
            pane.model.mouse_move_callbacks.remove(self._on_move)
            pane.model.mouse_drag_callbacks.remove(self._on_press)
            pane.native.removeEventFilter(self)
        self._panes.clear()

    def change(self, **settings: Any) -> None:
        """Set the tools to something else."""
        self.settings = replace(self.settings, **settings)
        self.changed.emit()

    def set_range(self, low_hu: float, high_hu: float) -> None:
        """Give the chosen class another range; one that does not go up is complained about and left."""
        lesions = gestures.lesions_of(self.desk)
        if lesions is None:
            return
        self.desk.attempt(lambda: self._set_range(int(lesions.selected_label), HuRange(low_hu, high_hu)))

    def tip(self, lesions: Any, new_label: int) -> Tip:
        """Return the brush as it is set, with the diameter of the circle on screen; label 0 erases."""
        settings = self.settings
        chosen = int(lesions.selected_label)
        return Tip(
            new_label,
            brush_tip_mm(lesions),
            settings.range_of(chosen) if settings.by_hu else None,
            settings.in_lungs,
            over_classes=not lesions.preserve_labels,
        )

    def use(self, handle: Handle) -> None:
        """Apply a tool where the reader points."""
        self.put_down()
        self._apply(handle, self._place(), self._axis())

    def take(self, handle: Handle) -> None:
        """Apply a tool, after a click on the picture where it needs a place; a second call puts it down again."""
        was, lesions = self.waiting, gestures.lesions_of(self.desk)
        self.put_down()
        if handle.at != "place":
            self._apply(handle, self._place(), self._axis())
        elif was is not handle and lesions is not None:
            self.waiting, self._mode_before = handle, str(lesions.mode)
            lesions.mode = "pan_zoom"
            self.changed.emit()
            self.desk.bench.said.emit(NOW_CLICK.format(handle.name))

    def fill_at(self, place: Place, value: int, axis: int) -> None:
        """Fill at a place with a class, for napari's own bucket."""
        handle = BY_NAME["Fill"]
        self.desk.attempt(lambda: self._applied(handle, value, place, axis))

    def put_down(self) -> None:
        """Wait for no click any more."""
        if self.waiting is None:
            return
        self.waiting = None
        self.desk.acted.emit()
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None and str(lesions.mode) == "pan_zoom":
            lesions.mode = self._mode_before
        self.changed.emit()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Forget the place when the cursor leaves the picture; on Escape, put the tool down or stop the one at work."""
        if event.type() == QEvent.Type.Leave:
            self._pointed = None
        elif event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:
            return self.give_up()
        return False

    def give_up(self) -> bool:
        """Put the tool down that waits for a click, else stop those at work; return whether there was any."""
        runs = self.desk.bench.tool_runner.runs
        if self.waiting is not None:
            self.put_down()
        elif runs:
            for run in runs:
                run.cancel()
        else:
            return False
        return True

    def _set_range(self, value: int, hu_range: HuRange) -> None:
        self.settings = self.settings.with_range(value, hu_range)
        self.changed.emit()

    def _on_move(self, model: Any, event: Any) -> None:
        self._pointed = model, tuple(event.position)

    def _on_press(self, model: Any, event: Any) -> Iterator[None]:
        self._pointed = model, tuple(event.position)
        handle = self.waiting
        if handle is None or event.button != 1 or event.modifiers:
            return
        place, axis = self._place(), self._axis()
        yield
        while event.type == "mouse_move":
            yield
        self.put_down()
        self._apply(handle, place, axis)

    def _place(self) -> Place | None:
        """Return the voxel under the cursor, None outside the scan; at the cross-hair where it is on no picture."""
        lesions = gestures.lesions_of(self.desk)
        if lesions is None:
            return None
        step = [int(each) for each in self.desk.viewer.dims.current_step]
        if self._pointed is not None:
            model, position = self._pointed
            if self._points_into_3d:
                return None  # a place in a 3-D view is anywhere along a line
            here = [round(float(each)) for each in lesions.world_to_data(position[-3:])]
            for axis in model.dims.displayed:
                step[axis] = here[axis]
            if not all(0 <= at < n for at, n in zip(step, lesions.data.shape, strict=True)):
                return None
        return step[0], step[1], step[2]

    @property
    def _points_into_3d(self) -> bool:
        return self._pointed is not None and bool(self._pointed[0].dims.ndisplay != FLAT)

    def _axis(self) -> int:
        """Return which axis the picture under the cursor cuts: 0 for the axial one."""
        if self._pointed is None:
            return 0
        hidden = self._pointed[0].dims.not_displayed
        return hidden[0] if len(hidden) == 1 else 0

    def _apply(self, handle: Handle, place: Place | None, axis: int) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None and not self.desk.link.is_drawing:
            self.desk.attempt(lambda: self._applied(handle, int(lesions.selected_label) or 1, place, axis))

    def _applied(self, handle: Handle, value: int, place: Place | None, axis: int) -> None:
        if handle.at == "place" and place is None and self._points_into_3d:
            raise ValueError(IN_3D.format(handle.name))
        index = gestures.slice_shown(self.desk)
        tool = handle.tool(Asked(value, index, place, self.settings, self.other.chosen))
        if handle.at == "slice":
            self.desk.bench.tools.apply(tool)
        elif self.settings.in_3d:
            self.desk.bench.tools.apply_aside(tool, handle.doing)
        elif handle.at == "place" and place is not None:
            self.desk.bench.tools.apply(tool, place[axis], axis)
        else:
            self.desk.bench.tools.apply(tool, index)
