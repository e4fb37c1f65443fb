"""What is exported: the mask of the open scan, or reviewed slices as cases to train on."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QRadioButton, QWidget

from napari_covseg.widgets.panel import allow, stacked

What = Literal["mask", "scan", "list"]

TITLES: dict[What, tuple[str, str]] = {
    "mask": ("The corrected mask", "The mask of the open scan, as NIfTI"),
    "scan": ("Cases to train on: this scan", "The open scan with its reviewed slices, for training elsewhere"),
    "list": (
        "Cases to train on: the whole worklist",
        "Every scan of the worklist with its reviewed slices, save rejected ones",
    ),
}
ABOUT_CASES = (
    "Whole scans, with labels on the slices you marked reviewed and on no other; nobody's name is in them. Into this "
    "folder:"
)
ABOUT: dict[What, str] = {
    "mask": "As NIfTI, voxel for voxel on the scan's own grid. Into this folder:",
    "scan": ABOUT_CASES,
    "list": ABOUT_CASES,
}


class ExportChoice(QWidget):  # type: ignore[misc]
    """One button for each kind; `changed` tells that another was chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        rows = stacked(self, apart=4)
        self._buttons = QButtonGroup(self)
        for number, (title, tooltip) in enumerate(TITLES.values()):
            radio = QRadioButton(title)
            radio.setProperty("what", tooltip)
            allow(radio)
            self._buttons.addButton(radio, number)
            rows.addWidget(radio)
        self.choose("mask")
        self._buttons.idToggled.connect(self._on_toggled)

    @property
    def what(self) -> What:
        """What is chosen."""
        number: int = self._buttons.checkedId()
        return tuple(TITLES)[number]

    def choose(self, what: What) -> None:
        """Choose a kind."""
        self._buttons.button(tuple(TITLES).index(what)).setChecked(True)

    def hold(self, reason: str) -> None:
        """Let nothing else be chosen, and say why; an empty reason lets go."""
        for radio in self._buttons.buttons():
            allow(radio, reason)

    def _on_toggled(self, _number: int, is_on: bool) -> None:
        if is_on:
            self.changed.emit()
