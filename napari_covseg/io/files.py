"""Files as such: names, whole or not at all, and where ours live."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_data_path

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = {".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage", ".mhd": "MetaImage"}
PICTURE_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_SUFFIXES = (".gz", ".nii", ".dcm", ".zip", *ITK_SUFFIXES, *PICTURE_SUFFIXES)


def home() -> Path:
    """Return the folder of sessions and checkpoints: ``$COVSEG_HOME``, or the platform's user data folder."""
    named = os.environ.get("COVSEG_HOME")
    return Path(named) if named else Path(user_data_path("covseg", appauthor=False))


def stem_of(path: Path) -> str:
    """Return a file's name without its format's suffixes (``case.nii.gz`` → ``case``); a folder's as is."""
    if path.is_dir():
        return path.resolve().name if path.name in ("", "..") else path.name
    name = path.name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name or path.name


def locked(path: object) -> ValueError:
    """Return the error of a file or folder that may not be read."""
    return ValueError(f"You may not read {path}; ask its owner for the permission, or copy it.")


def name_for_itk(path: Path) -> str:
    """Return a path as SimpleITK takes it, which ends the program over a name that is not valid UTF-8.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return os.fsencode(path).decode("utf-8")  # whatever Python takes the names of files for
    except UnicodeError:
        raise ValueError(f"{path} has letters in its path that are not valid UTF-8; rename it, then open it.") from None


@contextmanager
def written(path: Path, *, makes_folder: bool = True) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields a temporary path beside the target, with the target's suffixes; when the block ends well it is
    flushed to disk and takes the target's name, otherwise it is removed and the target stays as it was.
    What the system refuses is told of the target, which alone has a name that the reader knows.

    Parameters
    ----------
    path
        The target.
    makes_folder
        Whether its folder is made where it is missing; not where it was there, and may have gone with its disk.
    """
    if makes_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield draft
        _flush(draft)
        os.replace(draft, path)
        if os.name == "posix":
            with suppress(OSError):  # the file is in place; some network drives cannot flush a folder
                _flush(path.parent)
    except OSError as error:
        if str(error.filename) == str(draft):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # its folder may be none any more
            draft.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
