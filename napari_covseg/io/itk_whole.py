"""Whether an NRRD or MetaImage file is whole: ITK reads compressed ones without looking at their checksums."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 65536
BLOCK_BYTES = 1 << 20
_ANY_WRAPPER = 32 + zlib.MAX_WBITS
"""zlib finds out by itself whether it reads a zlib or a gzip stream; it checks either's sum."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a file says, by lower-case name, and the byte where it ends."""

    fields: Mapping[str, str]
    end: int


def header_of(path: Path) -> Header:
    """Return what the head of an NRRD or MetaImage file says."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    end = 0
    for line in head.splitlines(keepends=True):
        end += len(line)
        text = line.strip().decode("latin-1")
        if not text and fields:
            break
        name, _, value = text.partition(":" if head.startswith(b"NRRD") else "=")
        fields[name.strip().lower()] = value.strip().lstrip("=").strip()
        if name.strip().lower() == "elementdatafile":
            break
    return Header(fields, end)


def refuse_unless_whole(path: Path, expected_bytes: int) -> None:
    """Refuse a file whose voxels end too early or are damaged.

    Raises
    ------
    ValueError
        If they are.
    """
    header = header_of(path)
    voxels, start = data_file(path, header)
    if voxels is None:
        return  # several data files: ITK looks whether each is there
    with voxels.open("rb") as file:
        file.seek(start)
        if not _is_compressed(header):
            is_whole = os.fstat(file.fileno()).st_size - start >= expected_bytes or _is_text(header)
        else:
            is_whole = _unpacks_to(file, expected_bytes)
    if not is_whole:
        raise ValueError(f"{voxels.name} ends before its last voxel or is damaged; copy or export it again.")


def data_file(path: Path, header: Header) -> tuple[Path | None, int]:
    """Return the file that holds the voxels, and where in it they begin; no file where there are several.

    Raises
    ------
    ValueError
        If it is not there.
    """
    said = header.fields.get("elementdatafile") or header.fields.get("data file") or header.fields.get("datafile")
    if said is None or said.upper() == "LOCAL":
        return path, header.end
    if said.upper().startswith("LIST") or "%" in said:
        return None, 0
    voxels = path.parent / said
    if not voxels.is_file():
        raise ValueError(f"{path.name} keeps its voxels in {said}, which is not beside it; put both into one folder.")
    return voxels, 0


def _is_compressed(header: Header) -> bool:
    encoding = header.fields.get("encoding", "").lower()
    return encoding in ("gzip", "gz") or header.fields.get("compresseddata", "").lower() == "true"


def _is_text(header: Header) -> bool:
    is_ascii = header.fields.get("binarydata", "true").lower() == "false"
    return is_ascii or header.fields.get("encoding", "raw").lower() != "raw"


def _unpacks_to(file: BinaryIO, expected_bytes: int) -> bool:
    stream = zlib.decompressobj(_ANY_WRAPPER)
    count = 0
    try:
        while not stream.eof and count <= expected_bytes:
            block = stream.unconsumed_tail or file.read(BLOCK_BYTES)
            if not block:
                return False
            count += len(stream.decompress(block, BLOCK_BYTES))
    except zlib.error:
        return False
    return stream.eof and count >= expected_bytes
