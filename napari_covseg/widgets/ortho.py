"""Coronal and sagittal beside the axial view, on demand; one cross-hair through all three."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QSplitter

from napari_covseg.widgets.cross_hair import CrossHair
from napari_covseg.widgets.ortho_pane import OrthoPane
from napari_covseg.widgets.picture import fit, pane_of

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

VIEWS = (("Coronal", (1, 0, 2)), ("Sagittal", (2, 0, 1)))
SHARES = (3, 2)
"""Of the height: the axial view, and the two below it."""

POINT_MS = 1500


class OrthoViews:
    """The two views below the first one, and what links the three.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.viewer = desk, desk.viewer
        self.panes: list[OrthoPane] = []
        self.row: QSplitter | None = None
        self.cross_hair = CrossHair(pane_of(desk.viewer))
        self._linking = False
        self.is_shown = False
        self._fit_later = QTimer()  # the canvases have their new sizes only after a turn of Qt's loop
        self._fit_later.setSingleShot(True)
        self._fit_later.timeout.connect(self._fit)
        self._point_no_more = QTimer()
        self._point_no_more.setSingleShot(True)
        self._point_no_more.setInterval(POINT_MS)
        self._point_no_more.timeout.connect(lambda: self.cross_hair.show(self.is_shown))
        desk.opened.connect(self._on_opened)
        desk.link.redrawn.connect(self._refresh)
        desk.bench.lungs_found.connect(self._show_lungs)

    @property
    def models(self) -> tuple[Any, ...]:
        """What is in the views that are shown."""
        return tuple(pane.model for pane in self.panes) if self.is_shown else ()

    def toggle(self) -> None:
        """Show the views, or put them away."""
        if self.is_shown or self.desk.link.layers is None:
            self._hide()
        else:
            self._show()

    def point(self) -> None:
        """Show the cross-hair, where it is not there anyway, for a moment."""
        self.cross_hair.show(True)
        self._point_no_more.start()

    def close(self) -> None:
        """End the views."""
        self._hide()
        self._point_no_more.stop()
        self._fit_later.stop()
        self.desk.link.redrawn.disconnect(self._refresh, missing_ok=True)
        self.desk.bench.lungs_found.disconnect(self._show_lungs, missing_ok=True)
        self.cross_hair.close()
        for pane in self.panes:
            pane.model.dims.events.current_step.disconnect(self._on_step)
            pane.close()
        self.panes = []
        self.row = None

    def _show(self) -> None:
        if not self.panes:
            self._build()
        self.is_shown = True
        self.viewer.dims.events.current_step.connect(self._on_step)
        self.viewer.mouse_drag_callbacks.append(self._on_click)
        if self.row is not None:
            self.row.show()
        self._fill()
        for hair in self._hairs():
            hair.show(True)
        self._fit_later.start()

    def _hide(self) -> None:
        if not self.is_shown:
            return
        self.is_shown = False
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        self.viewer.mouse_drag_callbacks.remove(self._on_click)
        for hair in self._hairs():
            hair.show(False)
        for pane in self.panes:
            pane.rest()
        if self.row is not None:
            self.row.hide()
            self._fit_later.start()

    def _build(self) -> None:
        """Make the two canvases; afterwards they are only shown and hidden."""
        self.row = QSplitter(Qt.Orientation.Horizontal)
        self.panes = [OrthoPane(self.desk, title, order) for title, order in VIEWS]
        for pane in self.panes:
            self.row.addWidget(pane.qt_viewer)
            pane.model.dims.events.current_step.connect(self._on_step)
            pane.model.mouse_drag_callbacks.append(self._on_click)
        stack = self.viewer.window._qt_viewer
        stack.addWidget(self.row)
        height = stack.height()
        stack.setSizes([height * share // sum(SHARES) for share in SHARES])

    def _hairs(self) -> Iterator[CrossHair]:
        yield self.cross_hair
        for pane in self.panes:
            yield pane.cross_hair

    def _on_opened(self) -> None:
        if self.is_shown:
            self._fill()
        else:
            for pane in self.panes:
                pane.clear()

    def _fill(self) -> None:
        """Show the scan in every view, at the place that the first one shows."""
        step = tuple(self.viewer.dims.current_step)
        self._linking = True  # a view that fills up points at its middle
        try:
            for pane in self.panes:
                pane.show()
        finally:
            self._linking = False
        self._link(step)

    def _on_step(self, event: Any) -> None:
        if not self._linking:
            self._link(event.source.current_step)

    def _link(self, step: Any) -> None:
        self._linking = True
        try:
            for model in (self.viewer, *(pane.model for pane in self.panes)):
                if model.dims.ndim == 3 and tuple(model.dims.current_step) != tuple(step):
                    model.dims.current_step = step
        finally:
            self._linking = False

    def _on_click(self, model: Any, event: Any) -> Iterator[None]:
        """Point at what is clicked, while the left button moves the picture and does not paint."""
        if event.button != 1 or event.modifiers or str(self._mode()) != "pan_zoom":
            return
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            self._link(_voxel(model, event.position))

    def _mode(self) -> Any:
        layers = self.desk.link.layers
        return layers.lesions.mode if layers else ""

    def _fit(self) -> None:
        fit(self.viewer)
        for pane in self.panes if self.is_shown else ():
            fit(pane.model)

    def _show_lungs(self) -> None:
        for pane in self.panes if self.is_shown else ():
            pane.show_lungs()

    def _refresh(self) -> None:
        for pane in self.panes if self.is_shown else ():
            pane.refresh()


def _voxel(model: Any, position_mm: Any) -> tuple[int, ...]:
    """Return the voxel at a place, inside the scan."""
    dims = model.dims
    steps = (round(float(mm) / span.step) for mm, span in zip(position_mm, dims.range, strict=True))
    return tuple(min(max(step, 0), count - 1) for step, count in zip(steps, dims.nsteps, strict=True))
