"""Review sessions as verbs read them: without a window, and let go of again."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_covseg.cli.console import followed, say

if TYPE_CHECKING:
    from napari_covseg.review import ReviewSession
    from napari_covseg.volume import Volume


@contextmanager
def resumed(folder: Path) -> Iterator[ReviewSession]:
    """Yield the session in a folder as it stands; a window may have it open, and nothing in it is changed.

    Raises
    ------
    ValueError
        If there is none, or it cannot be read.
    """
    from napari_covseg.review import ReviewSession
    from napari_covseg.review.session_facts import ONLY_LOOKED_AT

    session = ReviewSession.resume(folder, getpass.getuser(), read_only=ONLY_LOOKED_AT)
    try:
        for note in session.notes:
            if note != ONLY_LOOKED_AT:
                say(f"{folder.name}: {note}")
        yield session
    finally:
        session.close()


def scan_of(session: ReviewSession) -> tuple[Path, Volume]:
    """Return where a session's scan is, there or near there, and the scan on its own grid, read again.

    Raises
    ------
    ValueError
        If the scan is not to be found, or is another one by now.
    """
    from napari_covseg.review.whereabouts import scan_found

    job = scan_found(session.scan_path, session.scan_sha256, session.stated)
    return followed(job, f"Looking for the scan of {session.folder.name}")
