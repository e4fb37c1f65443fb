"""All panels in one widget, as tabs, with the state line below."""

from __future__ import annotations

import os

from napari.viewer import Viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractButton, QScrollArea, QTabWidget

from napari_covseg.widgets.export_panel import ExportPanel
from napari_covseg.widgets.keyboard import press_by_return
from napari_covseg.widgets.learn_panel import LearnPanel
from napari_covseg.widgets.open_panel import OpenPanel
from napari_covseg.widgets.panel import Panel
from napari_covseg.widgets.review_panel import ReviewPanel
from napari_covseg.widgets.segment_panel import SegmentPanel
from napari_covseg.widgets.state_line import StateLine
from napari_covseg.widgets.tour import Tour

PANELS: tuple[tuple[str, type[Panel], str], ...] = (
    ("Open", OpenPanel, "Open a scan"),
    ("Segment", SegmentPanel, "Let a network find the lesions"),
    ("Review", ReviewPanel, "Correct, mark slices reviewed, sign"),
    ("Learn", LearnPanel, "Teach the network what you corrected"),
    ("Export", ExportPanel, "Write the corrected mask"),
)
WIDTH = 344
ROOMY = "QTabBar::tab { padding: 6px 10px; }"
FIRST_LOOK_MS = 600
"""The window is there first, and then its tour."""

HEADLESS = "COVSEG_HEADLESS"
"""Set where nobody is watching: by ``.ci/with_display``."""


class CovSegTabs(Panel):
    """Open · Segment · Review · Learn · Export."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.tabs = QTabWidget()
        self.tabs.setUsesScrollButtons(False)
        self.tabs.tabBar().setStyleSheet(ROOMY)
        self.panels: dict[str, Panel] = {}
        self.state_line = StateLine(napari_viewer)  # first: what a panel says of a scan that was opened stays
        for title, panel, tooltip in PANELS:
            self.panels[title] = made = panel(napari_viewer)
            self.tabs.setTabToolTip(self.tabs.addTab(_scrolling(made), title), tooltip)
        self.add(self.tabs, *(panel.foot for panel in self.panels.values() if panel.foot), self.state_line)
        self.tabs.currentChanged.connect(self._show_foot)
        self.desk.wanted.connect(self.show_panel)
        self.desk.asked.connect(self._show_question)
        self._show_foot()
        self.setMinimumWidth(WIDTH)
        for each in self.findChildren(QAbstractButton):
            press_by_return(each)
        self.tour = Tour(self.desk, self.show_panel, in_sight=self.panels["Review"].lesions)
        self._first_look = QTimer(self)
        self._first_look.setSingleShot(True)
        self._first_look.timeout.connect(self.tour.begin)
        if not os.environ.get(HEADLESS):
            self._first_look.start(FIRST_LOOK_MS)

    def _show_foot(self) -> None:
        for number, panel in enumerate(self.panels.values()):
            if panel.foot is not None:
                panel.foot.setVisible(number == self.tabs.currentIndex())

    def _show_question(self) -> None:
        self.show_panel("Open")

    def show_panel(self, title: str) -> None:
        """Bring a panel to the front."""
        self.tabs.setCurrentIndex(list(self.panels).index(title))


def _scrolling(panel: Panel) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it has the focus, and hands on the keys that scroll
    area.setWidget(panel)
    return area
