"""What another network drew, as white outlines over the picture, and the row to choose it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject

from napari_covseg.review.correction import Labels as Values
from napari_covseg.volume import LESIONS
from napari_covseg.widgets.layer_list import rest_thumbnail
from napari_covseg.widgets.layers import placed, slipped_in
from napari_covseg.widgets.outlines import outline

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

NAME = "other network"
COLOUR = "white"
NONE_YET = "No network has drawn anything on this scan yet; segment with one, and then with another."
NOT_CHOSEN = "Choose the other network beside Accept; its lesions then show as white outlines."


class OtherNetwork(QObject):  # type: ignore[misc]
    """The proposal that is looked at beside the reader's own labels.

    Parameters
    ----------
    desk
        On which picture.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk, self.network = desk, ""
        self.labels: Values | None = None
        self.layer: Labels | None = None
        desk.opened.connect(self._on_opened)
        desk.runs_changed.connect(self._on_runs)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that drew anything on the open scan."""
        opened = self.desk.bench.current
        return opened.proposals.networks if opened is not None else ()

    def choose(self, network: str) -> None:
        """Show what a network drew; nothing without a name."""
        opened, layers = self.desk.bench.current, self.desk.link.layers
        self._take_away()
        if not network or opened is None or layers is None:
            return
        self.network, self.labels = network, opened.proposals.labels(network)
        white: dict[int | None, str] = {None: COLOUR, 0: "transparent"}
        colours = DirectLabelColormap(color_dict=white | {each.value: COLOUR for each in LESIONS})
        self.layer = Labels(self.labels, name=NAME, colormap=colours, **placed(opened))
        self.layer.editable = False
        outline(self.layer, 1)
        rest_thumbnail(self.layer)
        slipped_in(self.layer, self.desk.viewer.layers, layers.lesions)

    def chosen(self) -> tuple[str, Values]:
        """Return the network and what it drew.

        Raises
        ------
        ValueError
            If none is chosen.
        """
        if self.labels is None:
            raise ValueError(NOT_CHOSEN if self.networks else NONE_YET)
        return self.network, self.labels

    def _on_opened(self) -> None:
        self._take_away()

    def _on_runs(self) -> None:
        """Look again when a network is done: it may be the one that is shown."""
        if self.network and not self.desk.bench.runner.busy:
            self.choose(self.network)

    def _take_away(self) -> None:
        layer, self.layer = self.layer, None
        self.network, self.labels = "", None
        if layer is not None and layer in self.desk.viewer.layers:
            self.desk.viewer.layers.remove(layer)
