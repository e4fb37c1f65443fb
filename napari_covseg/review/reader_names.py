"""Whether two names are of one reader: she types hers a little differently each day, and is shown as she did first."""

from __future__ import annotations

from unicodedata import normalize


def same_reader(one: str, other: str) -> bool:
    """Whether two names are of one reader; a name that is empty is nobody's, and nobody is the same as anybody."""
    return bool(name_key(one)) and name_key(one) == name_key(other)


def one_line(name: str) -> str:
    """Return a name as it was typed, on one line and without white space around it."""
    return " ".join(name.split())


def name_key(reader: str) -> str:
    """Return what a reader's names have in common, whatever their case, white space and way of writing accents."""
    folded = normalize("NFC", normalize("NFC", reader).casefold())
    return " ".join(folded.split())
