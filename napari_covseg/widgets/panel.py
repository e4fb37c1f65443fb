"""What every panel has: the viewer's desk, words for the reader, and buttons that say why they cannot be pressed."""

from __future__ import annotations

from collections.abc import Iterable

from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QBoxLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.keyboard import press_by_return

NOTHING_OPEN = "Open a scan first: Open tab, or drop a file on the window."
BIG = "QPushButton { font-weight: bold; padding: 8px; }"


class Panel(QWidget):  # type: ignore[misc]
    """A view of a bench.

    Parameters
    ----------
    napari_viewer
        Whose bench.
    """

    foot: QWidget | None = None
    """What stands below the panel and is never scrolled away, where the panel is one of the tabs."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.desk = desk_of(napari_viewer)
        self.bench, self.viewer = self.desk.bench, self.desk.viewer
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(8, 8, 8, 8)
        self.rows.setSpacing(6)

    def add(self, *pieces: QWidget | QLayout) -> None:
        """Put widgets and layouts below what is there."""
        _put(self.rows, pieces)


def stacked(on: QWidget, *pieces: QWidget | QLayout, above: int = 0, apart: int | None = None) -> QVBoxLayout:
    """Put widgets and layouts on another one, each below the last, and return the layout that holds them."""
    rows = QVBoxLayout(on)
    rows.setContentsMargins(0, above, 0, 0)
    if apart is not None:
        rows.setSpacing(apart)
    _put(rows, pieces)
    return rows


def in_a_row(*pieces: QWidget | QLayout, on: QWidget | None = None, apart: int | None = None) -> QHBoxLayout:
    """Put widgets and layouts beside each other, on another one or to be put somewhere, and return their layout."""
    row = QHBoxLayout(on)
    if on is not None:
        row.setContentsMargins(0, 0, 0, 0)
    if apart is not None:
        row.setSpacing(apart)
    _put(row, pieces)
    return row


def _put(layout: QBoxLayout, pieces: Iterable[QWidget | QLayout]) -> None:
    for piece in pieces:
        if isinstance(piece, QLayout):
            layout.addLayout(piece)
        else:
            layout.addWidget(piece)


class Words(QLabel):  # type: ignore[misc]
    """A line of words that wraps, and takes no room while there is nothing to say."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.setHidden(not text)

    def setText(self, text: str) -> None:  # noqa: N802 - Qt's name
        """Say this, or nothing."""
        super().setText(text)
        self.setHidden(not text)


def words(text: str = "", *, faint: bool = False) -> Words:
    """Return a line of words."""
    label = Words(text)
    if faint:
        label.setStyleSheet("QLabel { font-style: italic; }")
    return label


def button(text: str, tooltip: str, *, big: bool = False, checkable: bool = False) -> QPushButton:
    """Return a button that says what it does and which key does the same."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setProperty("what", tooltip)
    made.setCheckable(checkable)
    if big:
        made.setStyleSheet(BIG)
    press_by_return(made)
    return made


def rename(of: QAbstractButton, text: str, tooltip: str) -> None:
    """Let a button say that it does something else from now on."""
    of.setText(text)
    of.setToolTip(tooltip)
    of.setProperty("what", tooltip)


def allow(of: QAbstractButton, reason_not: str = "", hint: QLabel | None = None) -> None:
    """Enable a button, or disable it and say why, in its tooltip and in a line on the panel."""
    of.setEnabled(not reason_not)
    of.setToolTip(reason_not or of.property("what"))
    if hint is not None:
        hint.setText(reason_not)
