"""Review sessions as verbs read them: without a window, and let go of again."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_covseg.review import ReviewSession
    from napari_covseg.volume import Volume


@contextmanager
def resumed(folder: Path) -> Iterator[ReviewSession]:
    """Yield the session in a folder.

    Raises
    ------
    ValueError
        If there is none, or it is open in another window.
    """
    from napari_covseg.review import ReviewSession

    session = ReviewSession.resume(folder, getpass.getuser())
    try:
        yield session
    finally:
        session.close()


def scan_of(session: ReviewSession) -> Volume:
    """Return a session's scan on its own grid, read again.

    Raises
    ------
    ValueError
        If the scan is not where it was, or is another one by now.
    """
    from napari_covseg.io import read_volume
    from napari_covseg.io.stated import kept_in

    path = session.scan_path
    if path == Path() or not path.exists():
        raise ValueError(f"The scan of session {session.folder.name} is not at {path}; open it once more in napari.")
    scan = read_volume(path, kept_in(session.folder))
    if scan.sha256 != session.scan_sha256:
        raise ValueError(f"{path} is not the scan that session {session.folder.name} belongs to; put that one back.")
    return scan
