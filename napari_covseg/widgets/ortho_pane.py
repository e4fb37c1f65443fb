"""One more view of the scan on the bench, along another axis: the same voxels, painted on like the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt import QtViewer

from napari_covseg.widgets import keys
from napari_covseg.widgets.bounded_brush import bound
from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.cross_hair import CrossHair
from napari_covseg.widgets.edge_letters import EdgeLetters
from napari_covseg.widgets.fitting import Fitting
from napari_covseg.widgets.layer_list import rest_thumbnail
from napari_covseg.widgets.layers import ReadingLayers, placed, same_look
from napari_covseg.widgets.lungs import LungLayer
from napari_covseg.widgets.mouse import Mouse
from napari_covseg.widgets.outlines import outline
from napari_covseg.widgets.picture import Pane, as_on_a_light_box, fit
from napari_covseg.widgets.pointer import under_cursor

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

SHARED = ("mode", "selected_label", "brush_size", "visible", "opacity")
"""What the painted layers of all views have in common."""


class OrthoPane:
    """A view with a canvas of its own and layers over the arrays of the first view's layers.

    Parameters
    ----------
    desk
        Whose scan.
    title
        What the view is called.
    order
        Which axis is scrolled through, which runs down, and which to the right.
    """

    def __init__(self, desk: Desk, title: str, order: tuple[int, int, int]) -> None:
        self.desk, self.title, self.order = desk, title, order
        self.model = ViewerModel(title=title, order=order)
        self.qt_viewer = QtViewer(self.model)
        self.qt_viewer.dims.hide()
        self.pane = Pane(self.model, self.qt_viewer.canvas.native)
        self.layers: ReadingLayers | None = None
        self.lungs = LungLayer(self.model)
        self.letters, self.mouse = EdgeLetters(desk, self.pane), Mouse(desk, self.pane)
        self.cross_hair, self.fitting = CrossHair(self.pane), Fitting(self.pane)
        CanvasLabel(self.pane.native, "top_left").say(title)
        keys.bind(self.model, desk)
        desk.tools.watch(self.pane)
        self.model.cursor.events.position.connect(self._tell_status)

    def show(self) -> None:
        """Show the scan that is on the bench, without a copy of it; what is there already is only woken up."""
        opened, first = self.desk.bench.current, self.desk.link.layers
        if self.layers is not None and first is not None and self.layers.lesions.data is first.lesions.data:
            self.desk.link.join(self.layers.lesions)
            self.show_lungs()
            self.refresh()
            return
        self.clear()
        if opened is None or first is None:
            return
        where = placed(opened)
        limits = first.scan.contrast_limits  # napari would look for them in all voxels
        scan = Image(first.scan.data, name=first.scan.name, colormap="gray", contrast_limits=limits, **where)
        scan.contrast_limits_range = first.scan.contrast_limits_range
        lesions = Labels(first.lesions.data, name="lesions", colormap=first.lesions.colormap, **where)
        outlines = Labels(first.lesions.data, name="outlines", colormap=first.outlines.colormap, **where)
        outline(outlines, 1)
        outlines.editable = False
        lesions.opacity = first.lesions.opacity
        self.layers = ReadingLayers(scan, lesions, outlines)
        as_on_a_light_box(self.model)
        self._follow(first)
        bound(lesions, self.desk)
        for layer in self.layers:
            rest_thumbnail(layer)
            keys.bind(layer, self.desk, is_painted_on=layer is lesions)
            self.model.add_layer(layer)
        self.model.dims.order = self.order
        self.model.layers.selection.active = lesions
        self.desk.link.join(lesions)
        self.show_lungs()
        self.letters.show()
        fit(self.model)

    def show_lungs(self) -> None:
        """Show the lungs, once there are any, where the first view does."""
        opened, first = self.desk.bench.current, self.desk.link.lungs.layer
        if opened is None or first is None or self.layers is None:
            return
        is_new = self.lungs.layer is None
        self.lungs.show(opened, below=self.layers.lesions)
        if is_new and self.lungs.layer is not None:
            same_look(first, self.lungs.layer, ("visible",))

    def rest(self) -> None:
        """Be painted on no more, until it is shown again."""
        if self.layers is not None:
            self.desk.link.leave(self.layers.lesions)

    def clear(self) -> None:
        """Show nothing, and let go of the scan."""
        if self.layers is not None:
            self.rest()
            self.layers = None
            self.lungs.let_go()
            self.model.layers.clear()

    def refresh(self) -> None:
        """Draw what was changed in the array."""
        if self.layers is not None:
            self.layers.lesions.refresh(extent=False)
            self.layers.outlines.refresh(extent=False)

    def close(self) -> None:
        """End the view."""
        self.clear()
        for piece in (self.letters, self.mouse, self.cross_hair):
            piece.close()
        self.model.cursor.events.position.disconnect(self._tell_status)
        self.qt_viewer.close()
        self.qt_viewer.deleteLater()

    def _follow(self, first: ReadingLayers) -> None:
        assert self.layers is not None
        same_look(first.scan, self.layers.scan, ("contrast_limits",))
        same_look(first.lesions, self.layers.lesions, SHARED)
        same_look(first.outlines, self.layers.outlines, ("visible",))

    def _tell_status(self) -> None:
        opened = self.desk.bench.current
        if opened is not None and self.layers is not None:
            self.desk.viewer.status = under_cursor(opened, self.layers.lesions, self.model.cursor.position)
