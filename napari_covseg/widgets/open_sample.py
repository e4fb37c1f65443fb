"""napari's *File > Open Sample*: the synthetic chest CT, with the panels that a reader goes on in."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer, current_viewer
from npe2 import PluginManager
from qtpy.QtWidgets import QDockWidget

from napari_covseg.widgets.tabs import CovSegTabs

LAYERS = "napari-covseg.sample_layers"
PANELS = ("napari-covseg", "CovSeg")


def sample() -> list[Any]:
    """Show the panels, which take the scan in once it is a layer, and return the layers; in a script these alone."""
    viewer = current_viewer()
    if viewer is not None:
        show_panels(viewer)
    layers: list[Any] = PluginManager.instance().commands.execute(LAYERS)  # of a room that no window may know
    return layers


def show_panels(viewer: Viewer) -> None:
    """Show all panels in their tabs: those of the window where it has them, be they put away, else new ones."""
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    dock = next((each for each in docks if each.findChild(CovSegTabs)), None)
    if dock is None:
        viewer.window.add_plugin_dock_widget(*PANELS)
    else:
        dock.show()
        dock.raise_()
