"""Scans that come in through napari (dropped, File > Open, a sample) are put on the bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_covseg.io import sample_scan
from napari_covseg.widgets.layers import is_scan_of_ours
from napari_covseg.workbench import OpenScan, Workbench


class Adoption:
    """Watches a viewer for scans that the bench has not opened itself.

    Parameters
    ----------
    viewer
        Where they appear.
    bench
        What opens them.
    """

    def __init__(self, viewer: Viewer, bench: Workbench) -> None:
        self.viewer, self.bench = viewer, bench
        self._waiting: list[tuple[Path, Layer]] = []
        viewer.layers.events.inserted.connect(self._on_inserted)
        bench.opened.connect(self._on_opened)
        for layer in viewer.layers:
            self._consider(layer)

    def close(self) -> None:
        """Watch no more."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _on_inserted(self, event: Any) -> None:
        self._consider(event.value)

    def _consider(self, layer: Layer) -> None:
        if "covseg" in layer.metadata and layer.source.sample and not is_scan_of_ours(layer):
            layer.visible = False  # the sample's true lesions: there to look up, not to read over
        if not is_scan_of_ours(layer) or not (path := _path_of(layer)):
            return
        self._waiting.append((path, layer))
        QTimer.singleShot(0, lambda: self.bench.open(path))

    def _on_opened(self, opened: OpenScan) -> None:
        for path, layer in self._waiting:
            if path == opened.path and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._waiting = [(path, layer) for path, layer in self._waiting if path != opened.path]


def _path_of(layer: Layer) -> Path | None:
    """Return the file a layer was read from; layers of the bench itself have none."""
    if layer.source.path:
        return Path(layer.source.path)
    return sample_scan() if layer.source.sample else None
