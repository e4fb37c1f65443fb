"""The reader's pen: which layers it paints on, whether it is down, with which tool, and when to look what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_covseg.widgets.layers import forget_history, is_mid_stroke

TOOLS = {"paint": "brush", "erase": "eraser", "fill": "fill", "polygon": "polygon"}
EDIT = "edit"
QUIET_MS = 150
"""How long to wait after a hint that scrolling gives too."""


class Pen:
    """Hears what napari tells of painting; each is a hint that something may have changed, and never the change itself.

    Parameters
    ----------
    settle
        Called when it is time to compare the painted layer with the session.
    tell
        Hears why a stroke that is over changed nothing.
    """

    def __init__(self, settle: Callable[[], object], tell: Callable[[str], object]) -> None:
        self.tools, self.tool = dict(TOOLS), EDIT
        self._settle, self._tell, self._is_drawing = settle, tell, False
        self._why_nothing: str | None = None
        self._layers: list[Labels] = []
        self._pressed = self._refused = ""
        self._soon, self._when_quiet = timer(0, settle), timer(QUIET_MS, self._settle_quietly)

    @property
    def is_down(self) -> bool:
        """Whether a stroke has been begun and not ended."""
        return self._is_drawing or any(is_mid_stroke(lesions) for lesions in self._layers)

    def mode_of(self, lesions: Labels) -> str:
        """Return the mode that is painted in: the layer's when the pen was put down; keys may change that."""
        return self._pressed or str(lesions.mode)

    def is_news(self, refusal: str) -> bool:
        """Whether a refusal was not told during this stroke yet: the brush is refused at every move of the mouse."""
        is_news = not self.is_down or refusal != self._refused
        self._refused = refusal
        return is_news

    def missed(self, why: Callable[[], str]) -> None:
        """Note that the brush changed nothing here; why is asked as a stroke begins, and told if it ends so."""
        if self.is_down and self._why_nothing is None:
            self._why_nothing = why()

    def hit(self) -> None:
        """Note that the stroke changed something."""
        if self.is_down:
            self._why_nothing = ""

    def hint(self) -> None:
        """Look soon: napari tells of edits by code before it writes them."""
        self._soon.start()

    def listen(self, lesions: Labels) -> None:
        """Hear strokes on a layer."""
        self._layers.append(lesions)
        lesions.events.paint.connect(self._on_paint)
        lesions.events.set_data.connect(lambda: self._when_quiet.start())
        lesions.mouse_drag_callbacks.append(self._on_drag)

    def leave(self, lesions: Labels) -> None:
        """Forget a layer."""
        if lesions in self._layers:
            self._layers.remove(lesions)

    def leave_all(self) -> None:
        """Forget every layer, and a stroke that was not ended."""
        self._layers.clear()
        self._is_drawing, self._refused = False, ""

    def taken_in(self) -> None:
        """Begin anew: what was painted is in the session, whose undo stands in for napari's own."""
        self.tool, self._pressed = EDIT, ""
        for lesions in self._layers:
            forget_history(lesions)

    def stop(self) -> None:
        """Look no more."""
        self._soon.stop()
        self._when_quiet.stop()

    def _on_drag(self, lesions: Labels, event: Any) -> Iterator[None]:
        if str(lesions.mode) not in TOOLS:
            return
        self._is_drawing, self._pressed = True, str(lesions.mode)
        yield
        while event.type == "mouse_move":
            yield
        self._is_drawing, self._refused = False, ""
        if self._why_nothing:
            self._tell(self._why_nothing)
        self._why_nothing = None
        self._when_quiet.start()

    def _on_paint(self) -> None:
        if self._layers:
            self.tool = self.tools.get(self.mode_of(self._layers[0]), EDIT)
            self.hint()

    def _settle_quietly(self) -> None:
        if not self.is_down:
            self._settle()
            self._pressed = ""


def timer(milliseconds: int, action: Callable[[], object]) -> QTimer:
    """Return a timer that does something once, so long after it was started last."""
    waiting = QTimer()
    waiting.setSingleShot(True)
    waiting.setInterval(milliseconds)
    waiting.timeout.connect(action)
    return waiting
