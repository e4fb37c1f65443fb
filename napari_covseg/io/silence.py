"""Libraries that print nothing: what they warn of quotes headers, and with them who the patient is."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


@contextmanager
def in_silence() -> Iterator[None]:
    """Let no library warn while a file is read: what matters of it is told in this program's own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def heard(descriptor: int = STDERR) -> Iterator[list[str]]:
    """Yield a list that at the end holds what Python warned of and C libraries printed, which nobody else hears.

    Most print to stderr; ITK's JPEG prints to stdout.
    """
    lines: list[str] = []
    with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            kept = os.dup(descriptor)
        except OSError:  # a window without a terminal has none
            yield lines
        else:
            os.dup2(file.fileno(), descriptor)
            try:
                yield lines
            finally:
                os.dup2(kept, descriptor)
                os.close(kept)
                file.seek(0)
                lines += file.read().decode("utf-8", "replace").splitlines()
        finally:
            lines += [str(each.message) for each in said]
