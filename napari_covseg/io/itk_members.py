"""The files that an NRRD or MetaImage header names: one, or as many as there are slices."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from napari_covseg.io.itk_header import DATA_FILE, LIST, SIZES, Header, numbers

PATTERN = re.compile(r"%0?\d{0,3}[di]")
"""The number of a slice in a pattern of names, as C prints it."""

IN_SLICES, WHOLE = 2, 3
"""How many axes the image in each file of several has."""

MOST_FILES = 100_000


def files_of(path: Path, header: Header) -> tuple[Path, ...]:
    """Return the files that hold the voxels, in order; the header's own if they are in it.

    Raises
    ------
    ValueError
        If one is not there, is there twice, or their number is not that of the slices.
    RuntimeError
        If nobody understands which they are.
    """
    said = header.first(*DATA_FILE)
    words = said.split()
    if words and words[0] == LIST:
        if header.kind == "NRRD" and "" in header.listed:
            raise ValueError(f"{path.name} has an empty line in its list of files, which NRRD forbids; take it out.")
        return _several(path, header, [name for name in header.listed if name], _number(words, 1, IN_SLICES))
    if "%" in said and not (path.parent / said).is_file():
        return _several(path, header, _by_pattern(words, header), _number(words, 4, IN_SLICES))
    file = path.parent / said if said and said.upper() != "LOCAL" else path
    if not file.is_file():
        raise ValueError(f"{path.name} keeps its voxels in {said}, which is not beside it; put both into one folder.")
    return (file,)


def _by_pattern(words: list[str], header: Header) -> list[str]:
    slices = (numbers(header.first(*SIZES), 3) or (0,))[-1]
    first, step = _number(words, 1, 1), _number(words, 3, 1)
    last = _number(words, 2, first + int(slices) - 1)
    if words[0].count("%") != 1 or not PATTERN.search(words[0]) or step == 0 or abs(last - first) > MOST_FILES:
        raise RuntimeError("nobody knows which files these are")
    return [words[0] % number for number in range(first, last + (1 if step > 0 else -1), step)]


def _several(path: Path, header: Header, names: list[str], axes: int) -> tuple[Path, ...]:
    """Return files that share the slices among them, each as many."""
    shape = numbers(header.first(*SIZES), 3)
    if axes not in (IN_SLICES, WHOLE) or not names:
        raise RuntimeError("files of rows, or none")
    if shape and (len(names) != shape[2] if axes == IN_SLICES else shape[2] % len(names)):
        raise ValueError(
            f"{path.name} names {len(names)} file{'s' if len(names) > 1 else ''} for {shape[2]:.0f} slices: some are "
            "missing or too many; export it again, best as one file."
        )
    if twice := next((name for name, times in Counter(names).items() if times > 1), None):
        raise ValueError(f"{path.name} names {twice} for two of its slices; export it again, best as one file.")
    files = tuple(path.parent / name for name in names)
    gone = [name for name, file in zip(names, files, strict=True) if not file.is_file()]
    if not gone:
        return files
    raise ValueError(
        f"{path.name} keeps some of its slices in {gone[0]}, which is not beside it; put all its files into one folder."
    )


def _number(words: list[str], place: int, usual: int) -> int:
    if len(words) <= place:
        return usual
    if not re.fullmatch(r"-?\d{1,9}", words[place], re.ASCII):
        raise RuntimeError("a number that is none")
    return int(words[place])
