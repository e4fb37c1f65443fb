"""A napari window of CovSeg's own: a reader finds a place to drop a scan, and nothing she does not need."""

from __future__ import annotations

from pathlib import Path

import napari
from napari.viewer import Viewer
from qtpy.QtCore import Qt

from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.picture import as_on_a_light_box, pane_of
from napari_covseg.widgets.tabs import CovSegTabs

SIZE = (1280, 800)
AROUND_LESIONS = (5, 5, 5, 4)
LEFT = (1, 2)
"""Of the height at the left: the layers, which are few, and the lesions, which are many."""

WELCOME = "<p align='center'><b>Drop a chest CT here</b><br>a scan file, or a folder of DICOM slices</p>"
NOT_FOR_READING = ("consoleButton", "rollDimsButton", "transposeDimsButton", "gridViewButton")
LARGE = "QLabel { color: #cbd5e1; background: transparent; font-size: 18px; }"


def opened_room(folder: Path | None = None, reader: str = "") -> tuple[Viewer, CovSegTabs]:
    """Open the window, with the panels at the right, sessions in the folder and for the reader that are given."""
    viewer = napari.Viewer(title="CovSeg", show=True)
    viewer.window.resize(*SIZE)
    desk_of(viewer, folder, reader)
    tabs = CovSegTabs(viewer)
    viewer.window.add_dock_widget(tabs, name="CovSeg", area="right")
    furnish(viewer)
    lesions = tabs.panels["Review"].lesions
    left, _, right, _ = AROUND_LESIONS
    lesions.layout().setContentsMargins(*AROUND_LESIONS)
    lesions.setMinimumWidth(left + lesions.table.minimumWidth() + right)  # also before its table is there
    table = viewer.window.add_dock_widget(lesions, name="Lesions", area="left")  # seen beside any panel
    window = viewer.window._qt_window
    docks, shares = [window._qt_viewer.dockLayerList, table], [window.height() * share for share in LEFT]
    window.resizeDocks(docks, shares, Qt.Orientation.Vertical)
    return viewer, tabs


def furnish(viewer: Viewer) -> None:
    """Say what to do on the empty picture, and put napari's own tools away; its menus have them still."""
    qt_viewer = viewer.window._qt_viewer
    qt_viewer.show_welcome_screen = False
    qt_viewer.dockLayerControls.hide()
    qt_viewer.layerButtons.hide()  # a bin for layers, and new layers that are no class of lesions
    for name in NOT_FOR_READING:
        getattr(qt_viewer.viewerButtons, name).hide()
    as_on_a_light_box(viewer)
    welcome = CanvasLabel(pane_of(viewer).native, "middle")
    welcome.setStyleSheet(LARGE)

    def greet() -> None:
        welcome.say("" if viewer.layers else WELCOME)

    viewer.layers.events.inserted.connect(greet)
    viewer.layers.events.removed.connect(greet)
    greet()
