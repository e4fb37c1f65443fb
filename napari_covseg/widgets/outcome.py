"""What came of a segmentation, told when it ends: how many slices, lesions and millilitres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.io.sentences import count
from napari_covseg.review import Lesion
from napari_covseg.widgets.benches import Desk
from napari_covseg.workbench import OpenScan

if TYPE_CHECKING:
    from napari_covseg.inference import Segmentation


class Outcome:
    """Waits until the lesions are counted, a few slices per turn of Qt's loop, and says what there is.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self._done = desk, ""
        self._opened: OpenScan | None = None
        desk.furniture.lesion_watch.counted.connect(self._on_counted)

    def tell(self, opened: OpenScan | None, title: str, found: Segmentation) -> None:
        """Say what a network found on a scan, if that is still the open one."""
        if opened is None or opened is not self.desk.bench.current:
            return
        self._opened, self._done = opened, f"{title}: {count(len(found.slices), 'slice')}"
        watch = self.desk.furniture.lesion_watch
        watch.begin(opened)
        if watch.is_up_to_date:
            self._on_counted(watch.lesions)

    def _on_counted(self, lesions: tuple[Lesion, ...]) -> None:
        opened, self._opened = self._opened, None
        tally = self.desk.link.tally
        if opened is None or opened is not self.desk.bench.current or tally is None:
            return
        there = f"{count(len(lesions), 'lesion')}, {sum(tally.totals_ml.values()):.0f} mL" if lesions else "no lesion"
        self.desk.bench.said.emit(f"{self._done}, {there}.")
