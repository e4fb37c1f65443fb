"""Whether the file of an open scan is still the one that was read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_covseg.io import Stated, read_volume
from napari_covseg.jobs import Job, Progress, Remark

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a scan was read from: what was stated about it, what its files looked like just before, its fingerprint."""

    path: Path
    stated: Stated
    stamp: Stamp
    sha256: str


def stamp_of(path: Path) -> Stamp:
    """Return name, bytes and time of a scan's file, or of all files in its folder; nothing where it is not there."""
    with suppress(OSError):
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        looks = [(str(each), each.stat()) for each in files]
        return tuple((name, look.st_size, look.st_mtime_ns) for name, look in looks)
    return ()


def told_if_changed(source: Source) -> Job[bool]:
    """Tell in a remark if what is in a scan's place is another scan by now; read again only where its file changed.

    A file that is gone is no other scan.
    """
    now = stamp_of(source.path)
    if now in ((), source.stamp):
        return False
    yield Progress(0, 1, f"reading {source.path.name} again, since its file changed")
    with suppress(ValueError, OSError):
        if read_volume(source.path, source.stated).sha256 == source.sha256:
            return False
    yield Remark(
        f"{source.path.name} has changed on disk since it was opened; the mask is that of the scan as it was then. Put "
        "the old scan back, or open the new one and correct it anew."
    )
    return True
