"""An error as one sentence for the person who can act on it, the same on the command line and in the window."""

from __future__ import annotations

import errno
from pathlib import Path

from pydantic import ValidationError


def sentence_of(error: Exception, otherwise: str) -> str:
    """Return an error as one sentence.

    Parameters
    ----------
    error
        What went wrong. A `ValueError` or `KeyError` says it itself; of an `OSError` it is told by its cause.
    otherwise
        What is to be said of an error that nobody foresaw, after its name.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error)
    if isinstance(error, ValidationError):  # a ValueError too, but what it says is meant for programmers
        return _of_a_check(error, otherwise)
    if isinstance(error, ValueError | OSError | KeyError) and str(error):
        return str(error.args[0]) if len(error.args) == 1 else str(error)
    return f"That did not work ({type(error).__name__}: {error}); {otherwise}"


def _of_a_check(error: ValidationError, otherwise: str) -> str:
    """Return what a check of ours raised, as it raised it; pydantic's own checks raise nothing for readers."""
    first = error.errors()[0]
    raised = first.get("ctx", {}).get("error")
    return str(raised) if isinstance(raised, ValueError) else f"That did not work ({first['msg']}); {otherwise}"


def _of_the_system(error: OSError) -> str:
    named = error.filename is not None
    if isinstance(error, PermissionError):
        what = error.filename if named else "it"
        return f"You may not read or write {what}; ask its owner for the permission, or copy it."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" {error.filename} lies on" if named else ""
        return f"The disk{where} is full; make room on it and try again."
    if named and error.errno == errno.EROFS:
        return f"{error.filename} is on a disk that can only be read; choose another place."
    if isinstance(error, FileExistsError | NotADirectoryError):
        for place in (Path(error.filename or ""), *Path(error.filename or "").parents):
            if place.is_file():
                return f"{place} is a file and not a folder; choose another place."
    what = f"{error.filename}: " if named else ""
    return f"{what}{error.strerror}; check the path and that it may be read and written."


def count(number: int, thing: str, things: str = "") -> str:
    """Return a number of things, the plural where it is due: ``1 slice``, ``3 slices``."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"
