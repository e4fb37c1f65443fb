"""Two readers of one scan: begin a second reading, and see how far the two agree."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QWidget

from napari_covseg.io.sentences import count
from napari_covseg.review.reader_names import same_reader
from napari_covseg.review.readers import ReadersAgreement
from napari_covseg.review.shelf import other_readings
from napari_covseg.volume import SHORT_TITLES
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import allow, button, in_a_row, stacked, words

BEGIN_TOLD = "Begin a session of your own of this scan, beside that of the reader who began this one"
AGREE_TOLD = "Compare your labels with the other reader's, on the slices that both reviewed"
NOBODY_ELSE = "Nobody else has read this scan yet."


class SecondReaderRows(QWidget):  # type: ignore[misc]
    """A button to begin beside another reader, one to compare, and what came of it; nothing where one reads alone.

    Parameters
    ----------
    desk
        Whose session.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.begin = button("Second reading", BEGIN_TOLD)
        self.agree = button("Agreement", AGREE_TOLD)
        self.told = words()
        stacked(self, in_a_row(self.begin, self.agree, apart=4), self.told, apart=4)
        self.begin.clicked.connect(self._on_begin)
        self.agree.clicked.connect(self._on_agree)
        desk.opened.connect(self._on_opened)
        desk.runs_changed.connect(self._show)
        desk.labels_changed.connect(self._forget)
        desk.states_changed.connect(self._forget)
        self._others: dict[Path, str] = {}
        self._asked = 0
        self._on_opened()

    def _on_opened(self) -> None:
        session = self.desk.session
        self._others = other_readings(session) if session is not None else {}
        self._forget()
        self._show()

    def _forget(self) -> None:
        self.told.setText("")
        self._asked += 1

    def _show(self) -> None:
        session = self.desk.session
        if session is None:
            self.hide()
            return
        me = self.desk.bench.reader
        has_own = any(same_reader(me, each) for each in (session.begun_by, *self._others.values()))
        self.setVisible(bool(self._others) or not has_own)
        allow(self.begin, f"{me} has a session of this scan already." if has_own else "")
        allow(self.agree, "" if self._others else NOBODY_ELSE)

    def _on_begin(self) -> None:
        self.desk.attempt(self.desk.bench.second_reading)

    def _on_agree(self) -> None:
        session = self.desk.session
        if session is not None:
            self._forget()
            for folder in self._others:
                if run := self.desk.attempt(partial(self.desk.bench.compare_with, folder)):
                    run.finished.connect(partial(self._tell, self._asked))

    def _tell(self, asked: int, found: ReadersAgreement) -> None:
        if asked == self._asked:  # of labels as they stand
            self.told.setText("<br>".join(filter(None, (self.told.text(), _sentence(found)))))


def _sentence(found: ReadersAgreement) -> str:
    """Return ``Dice of m.okafor and j.lindqvist on 4 slices: opacities 0.91, ground-glass 0.85``."""
    known = [(name, each.overlap.scores()["dice"]) for name, each in found.classes.items()]
    dice = ", ".join(f"{SHORT_TITLES.get(name, name)} {value:.2f}" for name, value in known if value is not None)
    both = f"<b>{found.readers[0]}</b> and <b>{found.readers[1]}</b> on {count(len(found.slices), 'slice')}"
    return f"Dice of {both}: {dice or 'neither marks anything'}"
