"""Libraries that print nothing: what they warn of quotes headers, and with them who the patient is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def in_silence() -> Iterator[None]:
    """Let no library warn while a file is read: what matters of it is told in this program's own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
