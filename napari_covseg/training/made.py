"""Which code made a checkpoint, and by which command it is made again."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@cache
def commit(package: Path = PACKAGE) -> str:
    """Return the commit of a checkout that the package is run from, ``-dirty`` behind it where files were changed.

    It is empty where the package is not of a checkout, as when it was installed, perhaps into a folder that lies within
    somebody else's checkout, and where git is missing; then the version tells which code it was.
    """
    if not _git(package, "ls-files", "--error-unmatch", "__init__.py"):
        return ""
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def command_of(verb: str, options: Iterable[tuple[str, object]]) -> str:
    """Return a command of ``covseg``, without the options that are None or False; True is an option alone."""
    words = ["covseg", verb]
    for name, value in options:
        if value is None or value is False:
            continue
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join(words)


def _git(folder: Path, *words: str) -> str:
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()
