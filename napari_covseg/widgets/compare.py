"""Before and after: what the networks proposed, what the reader changed, what the last network changed, on one key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Labels

from napari_covseg.io.sentences import count
from napari_covseg.measure import millilitres
from napari_covseg.review import CHANGES, Correction, changes, last_run
from napari_covseg.volume import LESIONS, ClassScheme, LabelMap
from napari_covseg.widgets import gestures
from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.layer_list import rest_thumbnail
from napari_covseg.widgets.layers import FILL_OPACITY, colours, placed, slipped_in
from napari_covseg.widgets.legend import swatch_line
from napari_covseg.widgets.outlines import outline
from napari_covseg.widgets.picture import Pane
from napari_covseg.workbench import OpenScan

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_covseg.widgets.benches import Desk

Shown = Literal["current", "proposal", "difference", "last run"]
NOTHING_PROPOSED = "No network has proposed anything on this scan yet; there is nothing to compare with."
NOT_KEPT = "What the network proposed is too far back and no longer kept; there is nothing to compare with."
LAST_RUN = "<b>What the last network changed</b>"
DIFFERENCE_OPACITY = 0.45


class Compare:
    """Puts layers of its own in the place of the lesions; nothing can be painted meanwhile, and any change ends it.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture it says what is shown.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk, self.shown = desk, "current"
        self.banner = CanvasLabel(pane.native, "below_top")
        self._proposal: npt.NDArray[Any] | None = None
        self._added: list[tuple[Any, Labels]] = []
        desk.opened.connect(self.end)
        desk.labels_changed.connect(self.end)
        desk.chose.connect(self._on_chose)
        desk.segmented_rest.connect(self._on_rest)

    def next(self) -> None:
        """Show the proposal, the difference, what the last network changed, then the lesions again."""
        opened = self.desk.bench.current
        if opened is None or self.desk.link.layers is None:
            return
        self.desk.link.settle()
        if self.shown == "last run":
            self.end()
            return
        if self.shown == "current":
            self._proposal = opened.session.proposal
        if self._proposal is None:
            self.desk.bench.said.emit(NOT_KEPT if opened.session.was_proposed else NOTHING_PROPOSED)
        elif self.shown == "current":
            self._show("proposal", opened, LabelMap(self._proposal, opened.session.geometry, LESIONS))
        elif self.shown == "proposal":
            found = changes(self._proposal, opened.session.labels.values)
            self._show("difference", opened, LabelMap(found, opened.session.geometry, CHANGES))
        else:
            self.show_last_run()

    def show_last_run(self) -> None:
        """Show where the last run of a network changed the lesions that were there; the lesions, if there were none."""
        opened = self.desk.bench.current
        run = last_run(opened.session.labels.values, opened.session.corrections) if opened else None
        if opened is None or run is None:
            self.end()
            return
        before, after, _ = run
        found = LabelMap(changes(before, after), opened.session.geometry, CHANGES)
        self._show("last run", opened, found, LAST_RUN)

    def end(self) -> None:
        """Show the lesions as they stand."""
        if self.shown == "current":
            return
        self.shown = "current"
        self._proposal = None
        self._clear()
        self.banner.say("")
        if layers := self.desk.link.layers:
            layers.lesions.visible = True

    def _on_chose(self) -> None:
        if self.shown == "last run":  # what it shows is not of the network in use any more
            self.end()

    def _on_rest(self, taken: Correction) -> None:
        """Show what changed; where nothing did on the slice on screen, go to the one where most did."""
        self.show_last_run()
        here = gestures.slice_shown(self.desk)
        if self.shown == "last run" and here not in taken.changed_slices and not self.desk.link.is_drawing:
            voxels = np.count_nonzero(taken.before != taken.after, axis=(1, 2))
            gestures.go_to(self.desk, taken.slices[int(voxels.argmax())])

    def _show(self, shown: Shown, opened: OpenScan, labels: LabelMap, heading: str = "") -> None:
        layers = self.desk.link.layers
        if layers is None:
            return
        self._clear()
        self.shown = shown
        layers.lesions.visible = False
        for model in self._models():
            for layer in _drawn(shown, opened, labels, layers.outlines.contour):
                slipped_in(layer, model.layers)
                self._added.append((model, layer))
        self.banner.say("<br>".join(_told(shown, labels, heading)))

    def _clear(self) -> None:
        for model, layer in self._added:
            if layer in model.layers:
                model.layers.remove(layer)
        self._added.clear()

    def _models(self) -> Iterator[Any]:
        yield self.desk.viewer
        yield from self.desk.furniture.ortho.models


def _drawn(shown: Shown, opened: OpenScan, labels: LabelMap, contour: int) -> Iterator[Labels]:
    """Yield a light fill, and the outlines over it."""
    opacity = FILL_OPACITY if shown == "proposal" else DIFFERENCE_OPACITY
    where, look = placed(opened), colours(labels.scheme)
    fill = Labels(labels.values, name=shown, opacity=opacity, colormap=look, **where)
    outlines = Labels(labels.values, name=f"{shown} outlines", colormap=look, **where)
    outline(outlines, contour)
    for layer in (fill, outlines):
        layer.editable = False
        rest_thumbnail(layer)
        yield layer


def _told(shown: Shown, labels: LabelMap, heading: str) -> Iterator[str]:
    if shown == "proposal":
        yield "<b>As the network proposed it</b>"
        yield "C: what you changed"
        return
    yield heading or "<b>What you changed</b>"
    yield _where(labels)
    yield from _volumes(labels, labels.scheme)
    yield "C: back to the lesions" if shown == "last run" else "C: what the network changed, or back to the lesions"


def _where(labels: LabelMap) -> str:
    """Say on which slices there is something to see: the one on screen need not be one of them."""
    numbers = (np.flatnonzero(labels.values.any(axis=(1, 2))) + 1).tolist()
    if not numbers:
        return "on no slice"
    if len(numbers) == 1:
        return f"on slice {numbers[0]}"
    return f"on {count(len(numbers), 'slice')}, from {numbers[0]} to {numbers[-1]}"


def _volumes(labels: LabelMap, scheme: ClassScheme) -> Iterator[str]:
    found = millilitres(labels)
    for each in scheme:
        yield swatch_line(each.colour, f"{each.title} {found[each.name]:.1f} mL")
