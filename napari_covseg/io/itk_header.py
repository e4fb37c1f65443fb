"""What the head of an NRRD or MetaImage file says, beside what ITK makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from napari_covseg.io.files import ITK_SUFFIXES

Kind = Literal["NRRD", "MetaImage"]

HEADER_BYTES = 1 << 26
"""No header is longer; what is read beyond the first of it are lists of names and notes of programs."""

REQUIRED = {
    "NRRD": ("type", "dimension", "sizes", "encoding"),
    "MetaImage": ("NDims", "DimSize", "ElementType", "ElementDataFile"),
}
NUMBERS = {
    **dict.fromkeys(("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin"), 1),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), 2),
}
"""The fields of MetaImage that hold as many numbers as there are axes, or the square of that."""

DATA_FILE = ("ElementDataFile", "datafile")
SIZES = ("sizes", "DimSize")
LIST = "LIST"
"""What stands for the name of the voxels' file where many follow, one a line."""

TRUE = ("T", "t", "1")


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a file says, by the name of the field, and the byte where it ends.

    NRRD's names are in lower case and without their spaces, as its readers take them. `listed` are the files that hold
    the voxels, where it lists them.
    """

    kind: Kind
    fields: Mapping[str, str]
    end: int
    listed: tuple[str, ...] = ()

    def first(self, *names: str) -> str:
        """Return what the first of these fields that is there says; empty where none is."""
        return next((self.fields[name] for name in names if name in self.fields), "")


def header_of(path: Path) -> Header:
    """Return what the head of an NRRD or MetaImage file says.

    Raises
    ------
    RuntimeError
        If a field that must be there is not, or one is there twice; as ITK raises where it understands nothing.
    """
    kind: Kind = "NRRD" if ITK_SUFFIXES[path.suffix.lower()] == "NRRD" else "MetaImage"
    fields: dict[str, str] = {}
    listed: tuple[str, ...] = ()
    end = 0
    with path.open("rb") as file:
        for line in _lines(file):
            end += len(line)
            text = _decoded(line.strip())
            if not text and fields:
                break
            name, value = _field(kind, text)
            if name in fields:
                raise RuntimeError(f"{name} is there twice")
            if value or kind == "MetaImage":
                fields[name] = value
            if name in DATA_FILE and value.split()[:1] == [LIST]:
                listed = tuple(_decoded(each.strip()) for each in _lines(file))
                break
            if name == "ElementDataFile":
                break
    if any(name not in fields for name in REQUIRED[kind]):
        raise RuntimeError("ITK would print that it cannot parse this")
    if kind == "MetaImage":
        _refuse_words_for_numbers(fields)
    return Header(kind, fields, end, listed)


def is_true(value: str) -> bool:
    """Whether MetaIO takes a value for true."""
    return value[:1] in TRUE


def numbers(text: str, count: int) -> tuple[float, ...]:
    """Return the numbers of a field: `count` of them, or none where it holds anything else."""
    try:
        found = tuple(float(word) for word in text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    except ValueError:
        return ()
    return found if len(found) == count and all(math.isfinite(number) for number in found) else ()


def _refuse_words_for_numbers(fields: Mapping[str, str]) -> None:
    """Refuse what MetaIO would take for zeros, or would print that it cannot parse."""
    axes = int((numbers(fields["NDims"], 1) or (0,))[0])
    for name, power in NUMBERS.items():
        if name in fields and not numbers(fields[name], axes**power):
            raise RuntimeError(f"{name} holds something else than numbers")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, as far as a header can reach."""
    left = HEADER_BYTES
    while line := file.readline(left):
        yield line
        left -= len(line)


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _field(kind: Kind, text: str) -> tuple[str, str]:
    """Return name and value of a line; for one that says nothing about the image, a name without a value."""
    if kind == "MetaImage":
        name, _, value = text.partition("=")
        return name.strip(), value.strip()
    name, mark, value = text.partition(":")
    if text.startswith("#") or not mark or value.startswith("="):
        return text, ""
    return name.lower().replace(" ", ""), value.strip()
