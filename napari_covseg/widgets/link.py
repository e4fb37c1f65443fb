"""What keeps napari's layers and the bench's session in step.

napari's events are hints and never the change itself: on a hint the painted array is compared with the session, and
what differs becomes one correction. A change of the session is copied into the array where the reader is not just
painting, so a network that finishes a slice never wipes a stroke.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.viewer import Viewer
from psygnal import Signal

from napari_covseg.io.sentences import sentence_of
from napari_covseg.review import Correction, difference
from napari_covseg.review.words import slices_named
from napari_covseg.widgets.anchor import anchored
from napari_covseg.widgets.layers import ReadingLayers, layers_of
from napari_covseg.widgets.lungs import LungLayer
from napari_covseg.widgets.pen import Pen, timer
from napari_covseg.widgets.picture import as_on_a_light_box, fit, is_on_screen, scale_bar
from napari_covseg.widgets.settling import VALUES, changed_slices, in_bytes, no_class, refuse_foreign
from napari_covseg.widgets.tally import Tally
from napari_covseg.workbench import OpenScan, Workbench

Array = npt.NDArray[np.uint8]


class Link:
    """The layers of the scan on the bench.

    Parameters
    ----------
    viewer
        Whose layers.
    bench
        Whose session.
    """

    redrawn = Signal()

    def __init__(self, viewer: Viewer, bench: Workbench) -> None:
        self.viewer, self.bench = viewer, bench
        self.opened: OpenScan | None = None
        self.layers: ReadingLayers | None = None
        self.tally: Tally | None = None
        self.lungs = LungLayer(viewer)
        self._array: Array = np.zeros((0, 0, 0), dtype=np.uint8)
        self._label = 1
        self.pen = Pen(self.settle, lambda why: bench.said.emit(why))
        self._redraw, self._is_stale = timer(0, self._redraw_what_changed), False
        bench.opened.connect(self._show)
        bench.lungs_found.connect(self._show_lungs)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._show_outlines)

    def settle(self) -> None:
        """Take what differs between the painted layer and the session into the session, as one correction."""
        if self.opened is None:
            return
        session = self.opened.session
        values = session.labels.values
        changed = changed_slices(values, self._array)
        if changed is None:
            return
        slab = slice(changed[0], changed[1])
        title = f"{self.pen.tool} on {slices_named(range(*changed))}"
        try:
            refuse_foreign(self._array[slab])
            made = difference(values[slab], self._array[slab], self.pen.tool, title, first_slice=changed[0])
            self.bench.tools.take_painted(self.opened, made)
        except (ValueError, OSError) as error:
            self._array[slab] = session.labels.values[slab]
            self._refresh()
            self.bench.complained.emit(sentence_of(error, "nothing was changed."))
        self.pen.taken_in()

    @property
    def is_drawing(self) -> bool:
        """Whether the reader's pen is down."""
        return self.pen.is_down

    def join(self, lesions: Labels) -> None:
        """Let another layer over the same array be painted on too."""
        self.pen.listen(lesions)

    def leave(self, lesions: Labels) -> None:
        """Forget a layer that joined; what was painted on it is taken in first."""
        self.settle()
        self.pen.leave(lesions)

    def close(self) -> None:
        """Let go of session and layers; the layers stay."""
        self.settle()
        self.pen.stop()
        self._redraw.stop()
        self.bench.opened.disconnect(self._show, missing_ok=True)
        self.bench.lungs_found.disconnect(self._show_lungs, missing_ok=True)
        self._let_go()

    def _show(self, opened: OpenScan) -> None:
        self.settle()
        self._let_go(remove=True)
        self.opened, self.tally = opened, Tally(opened.session.labels)
        self.layers = layers_of(opened)
        self._array, self._label = self.layers.lesions.data, 1
        opened.session.changed.connect(self._on_changed)
        for layer in self.layers:
            anchored(layer, self.bench.said.emit)
            self.viewer.add_layer(layer)
        self._listen_to(self.layers.lesions)
        self._first_look()
        self._show_lungs(opened)

    def _show_lungs(self, opened: OpenScan) -> None:
        if opened is self.opened and self.layers is not None:
            self.lungs.show(opened, below=self.layers.lesions)

    def _first_look(self) -> None:
        if self.layers is None or self.tally is None:
            return
        self.viewer.layers.selection = {self.layers.lesions}
        self.viewer.layers.selection.active = self.layers.lesions
        as_on_a_light_box(self.viewer)
        self.viewer.dims.ndisplay = 2
        self.viewer.dims.order = (0, 1, 2)
        fullest = self.tally.fullest_slice
        self.viewer.dims.set_current_step(0, len(self._array) // 2 if fullest is None else fullest)
        fit(self.viewer)
        scale_bar(self.viewer).visible = True

    def _let_go(self, *, remove: bool = False) -> None:
        if self.opened is not None:
            self.opened.session.changed.disconnect(self._on_changed, missing_ok=True)
        layers, self.layers, self.opened = self.layers, None, None
        self.pen.leave_all()
        self.lungs.let_go(remove=remove)
        for layer in layers or ():
            if remove and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _listen_to(self, lesions: Labels) -> None:
        self.pen.listen(lesions)
        lesions.events.data.connect(self._on_replaced)
        lesions.events.selected_label.connect(self._on_label)
        lesions.events.visible.connect(self._show_outlines)

    def _on_changed(self, correction: Correction) -> None:
        if self.opened is None or self.tally is None:
            return
        shown = self._array[correction.box]
        untouched = shown == correction.before
        if untouched.all():
            shown[...] = correction.after
        else:
            np.copyto(shown, correction.after, where=untouched)
        self.tally.update(correction)
        self._is_stale = self._is_stale or is_on_screen(self.viewer.dims, correction.slices)
        self._redraw.start()

    def _redraw_what_changed(self) -> None:
        """Draw the first view only where a slice on screen changed: beside a network most of them are elsewhere."""
        if self._is_stale:
            self._refresh()
        else:
            self.redrawn.emit()

    def _refresh(self) -> None:
        self._is_stale = False
        if self.layers:
            for layer in (self.layers.lesions, self.layers.outlines):
                layer.refresh(extent=False)
            self.redrawn.emit()

    def _on_replaced(self) -> None:
        """Keep napari painting on our own array, also after somebody assigned another one."""
        if self.layers is None or self.layers.lesions.data is self._array:
            return
        replaced = np.asarray(self.layers.lesions.data)
        if replaced.shape == self._array.shape:
            self._array[...] = in_bytes(replaced)
        self.layers.lesions.data = self._array
        self.pen.hint()

    def _on_label(self) -> None:
        if self.layers is None:
            return
        label = self.layers.lesions.selected_label
        if label == 0 or label in VALUES:
            self._label = label
            return
        self.layers.lesions.selected_label = self._label
        self.bench.complained.emit(no_class(label))

    def _show_outlines(self) -> None:
        if self.layers:
            self.layers.outlines.visible = self.layers.lesions.visible and self.viewer.dims.ndisplay == 2

    def _on_removed(self, event: Any) -> None:
        if self.layers is None or event.value not in (self.layers.lesions, self.layers.scan):
            return
        gone = "lesions" if event.value is self.layers.lesions else "scan's"
        self.settle()
        self._let_go(remove=True)
        self.bench.said.emit(f"The {gone} layer was taken away; open the scan again to go on. Nothing is lost.")
