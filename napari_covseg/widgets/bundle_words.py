"""What became of the sessions whose reviewed slices were written as cases, in the reader's words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_covseg.io.sentences import count

if TYPE_CHECKING:
    from napari_covseg.export.gathering import Gathered

MOST_TOLD = 3
"""Sessions that could not be taken of which the reason is told; the others are counted."""

NEXT = "To train or fine-tune on them, give this folder to\ncovseg train --cases\ncovseg finetune --session"


def there_already(found: Gathered) -> int:
    """Return how many cases were there already and were kept."""
    return sum(isinstance(one.error, FileExistsError) for one in found.left_out)


def gathered_words(found: Gathered, folder: Path) -> str:
    """Return what was written and where, what was left out and why, and what to do with it next."""
    from napari_covseg.export.bundle import NothingReviewedError

    slices, there = sum(one.slices for one in found.bundled), there_already(found)
    unreviewed = sum(isinstance(one.error, NothingReviewedError) for one in found.left_out)
    failed = [
        f"{one.session.name}: {one.error}"
        for one in found.left_out
        if not isinstance(one.error, FileExistsError | NothingReviewedError)
    ]
    cases = f"{count(len(found.bundled), 'case')} with {count(slices, 'reviewed slice')}"
    kept = count(there, "case was", "cases were")
    told = [
        f"Written and read back: {cases}, in {folder}" if found.bundled else "Nothing was written.",
        f"{kept} there already and kept. Press again to replace, or choose another folder." if there else "",
        f"{count(unreviewed, 'session')} left out: no slice is marked reviewed." if unreviewed else "",
        *failed[:MOST_TOLD],
        f"And {len(failed) - MOST_TOLD} more could not be taken." if len(failed) > MOST_TOLD else "",
        NEXT if found.bundled else "",
    ]
    return "\n".join(sentence for sentence in told if sentence)
