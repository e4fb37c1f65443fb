"""What the head of an NRRD or MetaImage file says, beside what ITK makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_covseg.io.files import ITK_SUFFIXES

Kind = Literal["NRRD", "MetaImage"]

HEADER_BYTES = 1 << 20
REQUIRED = {
    "NRRD": ("type", "dimension", "sizes", "encoding"),
    "MetaImage": ("NDims", "DimSize", "ElementType", "ElementDataFile"),
}
NUMBERS = {
    **dict.fromkeys(("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin"), 1),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), 2),
}
"""The fields of MetaImage that hold as many numbers as there are axes, or the square of that."""

SKIPS = ("lineskip", "byteskip", "HeaderSize")
TRUTHS = ("T", "t", "1", "F", "f", "0")
"""The first letters by which MetaIO knows true from false."""

BZIP2 = ("bzip2", "bz2")
ENCODED = {"raw": False, "gzip": True, "gz": True}


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a file says, by the name of the field, and the byte where it ends.

    NRRD's names are in lower case and without their spaces, as its readers take them.
    """

    kind: Kind
    fields: Mapping[str, str]
    end: int

    def first(self, *names: str) -> str:
        """Return what the first of these fields that is there says; empty where none is."""
        return next((self.fields[name] for name in names if name in self.fields), "")


@dataclass(frozen=True, slots=True)
class VoxelFile:
    """The file the voxels lie in, from which byte on, packed or not, in which byte order."""

    file: Path
    start: int
    is_packed: bool
    is_big_endian: bool


def header_of(path: Path) -> Header:
    """Return what the head of an NRRD or MetaImage file says.

    Raises
    ------
    RuntimeError
        If a field that must be there is not, or one is there twice; as ITK raises where it understands nothing.
    """
    kind: Kind = "NRRD" if ITK_SUFFIXES[path.suffix.lower()] == "NRRD" else "MetaImage"
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    end = 0
    for line in head.splitlines(keepends=True):
        end += len(line)
        text = _decoded(line.strip())
        if not text and fields:
            break
        name, value = _field(kind, text)
        if name in fields:
            raise RuntimeError(f"{name} is there twice")
        if value or kind == "MetaImage":
            fields[name] = value
        if name == "ElementDataFile":
            break
    if any(name not in fields for name in REQUIRED[kind]):
        raise RuntimeError("ITK would print that it cannot parse this")
    if kind == "MetaImage":
        _refuse_words_for_numbers(fields)
    return Header(kind, fields, end)


def voxel_file(path: Path, header: Header) -> VoxelFile | None:
    """Return where the voxels lie; None where only ITK knows how to get at them (as text, in many files …).

    Raises
    ------
    ValueError
        If the file that holds them is not there, or they are packed as nobody here can unpack.
    """
    said = header.first("ElementDataFile", "datafile")
    if said.upper().startswith("LIST") or "%" in said:
        return None
    is_beside = said and said.upper() != "LOCAL"
    file = path.parent / said if is_beside else path
    if not file.is_file():
        raise ValueError(f"{path.name} keeps its voxels in {said}, which is not beside it; put both into one folder.")
    skips = [header.fields.get(name, "0") for name in SKIPS]
    if header.kind == "NRRD" and header.fields["encoding"].lower() in BZIP2:
        raise ValueError(f"{path.name} is compressed with bzip2, which cannot be read here; save it with gzip.")
    is_packed = _is_packed(header)
    if is_packed is None or any(skip != "0" for skip in skips):
        return None
    return VoxelFile(file, 0 if is_beside else header.end, is_packed, _is_big_endian(header))


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


def _is_packed(header: Header) -> bool | None:
    """Whether the voxels are compressed; None if they are text, or packed as only ITK can unpack."""
    if header.kind == "NRRD":
        return ENCODED.get(header.fields["encoding"].lower())
    if any(header.fields.get(name, "T")[:1] not in TRUTHS for name in ("BinaryData", "CompressedData")):
        raise RuntimeError("MetaIO would print that it cannot read the voxels")
    return _is_true(header.fields.get("CompressedData", "")) if _is_true(header.fields.get("BinaryData", "T")) else None


def _is_big_endian(header: Header) -> bool:
    if header.kind == "NRRD":
        return header.fields.get("endian", "little").lower() == "big"
    return _is_true(header.first("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))


def _is_true(value: str) -> bool:
    return value[:1] in TRUTHS[:3]
