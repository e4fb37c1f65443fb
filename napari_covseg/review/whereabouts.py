"""Where the scan of a session is by now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_covseg.io import Stated, read_volume
from napari_covseg.jobs import Job, Progress
from napari_covseg.volume import Volume

Found = tuple[Path, Volume]


def scan_found(path: Path, sha256: str, stated: Stated) -> Job[Found]:
    """Find the scan of a session again, as a job: where it was, or near there.

    Parameters
    ----------
    path
        Where it was when the session was opened last.
    sha256
        Its fingerprint; nothing else is taken for it.
    stated
        What was stated about it.

    Returns
    -------
    tuple of Path and Volume
        Where it is, and the scan.

    Raises
    ------
    ValueError
        If it is nowhere to be found, or what is there now has other voxels.
    """
    is_other = False
    places = list(dict.fromkeys(_candidates(path)))
    for number, place in enumerate(places):
        yield Progress(number, len(places), f"looking for {path.name}")
        try:
            scan = read_volume(place, stated)
        except (ValueError, OSError):
            continue
        if scan.sha256 == sha256:
            return place, scan
        is_other = is_other or place == path
    if is_other:
        raise ValueError(f"{path} is not the scan that this session belongs to, it has changed; put that one back.")
    raise ValueError(
        f"The scan {path} is no longer there, nor near there; open it from where it is now, and its session comes back."
    )


def _candidates(path: Path) -> Iterator[Path]:
    """Yield every place at which a scan of this name is: the old one, then up to one folder deeper than the others."""
    folders = (path.parent, path.parent.parent) if path.name else ()
    for folder in folders:
        within = sorted(folder.glob("*/")) if folder.is_dir() else []
        yield from (each / path.name for each in (folder, *within) if (each / path.name).exists())
