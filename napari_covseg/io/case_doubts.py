"""What is doubtful about annotated cases, told as they are read: once of each, and of many in a few words."""

from __future__ import annotations

from collections.abc import Iterator

from napari_covseg.io.case_listing import MOST_NAMED
from napari_covseg.io.cases import Case
from napari_covseg.io.sentences import count
from napari_covseg.jobs import Remark
from napari_covseg.volume import LabelMap, Volume

MOST_TOLD = 10
"""Of so many cases every doubt is told; those after them are named together, and of more yet only the number is."""


class Doubts:
    """The cases of which doubts were told already, however often they are read."""

    def __init__(self) -> None:
        self._doubtful: set[Case] = set()
        self._others: list[str] = []

    def about(self, case: Case, *images: Volume | LabelMap | None) -> Iterator[Remark]:
        """Yield the notes of what `read_case` gave of a case, unless it was read before or many were doubtful."""
        notes = [note for image in images if image is not None for note in image.notes]
        if not notes or case in self._doubtful:
            return
        self._doubtful.add(case)
        if len(self._doubtful) <= MOST_TOLD:
            yield from map(Remark, notes)
        else:
            self._others.append(case.name)

    def about_the_others(self) -> Iterator[Remark]:
        """Yield, once all are read, a sentence for those that were too many to tell of each."""
        if self._others:
            listed = ", ".join(self._others[:MOST_NAMED]) + (" …" if len(self._others) > MOST_NAMED else "")
            are = "is" if len(self._others) == 1 else "are"
            yield Remark(
                f"{count(len(self._others), 'more case')} {are} as doubtful ({listed}); given alone, they say why."
            )
            self._others.clear()
