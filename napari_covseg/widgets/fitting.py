"""A picture that showed the whole slice still does when its window changes size."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer

from napari_covseg.widgets.picture import Pane, fit, is_fitted


class Fitting(QObject):  # type: ignore[misc]
    """Fits a picture again when it is resized, unless the reader zoomed or moved it since it was fitted last.

    Parameters
    ----------
    pane
        Which picture.
    """

    def __init__(self, pane: Pane) -> None:
        super().__init__(pane.native)
        self.pane = pane
        self._later = QTimer(self)  # the canvas knows its new size only after a turn of Qt's loop
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._fit)
        pane.native.installEventFilter(self)

    def close(self) -> None:
        """Fit no more."""
        self._later.stop()
        self.pane.native.removeEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Notice another size."""
        if event.type() == QEvent.Type.Resize and is_fitted(self.pane.model):
            self._later.start()
        return False

    def _fit(self) -> None:
        fit(self.pane.model)
