"""What can still be read of a damaged SQLite file and its write-ahead log, page by page.

SQLite gives up at the first page that is wrong; its own ``.recover`` is not in Python's library. Our rows carry their
hash, so every page image that is left, in whatever order and however old, may be looked through for them: what verifies
is a row of ours. Layout: https://www.sqlite.org/fileformat2.html, sections 1.5 (b-tree pages), 1.6 (overflow pages),
2.1 (records) and 4.1 (the log).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

MAGIC = b"SQLite format 3\0"
LEAF_OF_A_TABLE = 0x0D
FIRST_PAGE_STARTS_AT = 100
LOG_HEADER, FRAME_HEADER = 32, 24
_WIDTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_INTEGERS = range(1, 7)

Record = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Pages:
    """Every page image that is left.

    Parameters
    ----------
    size
        Bytes of a page.
    images
        Number and bytes, those of the file first, then those of the log in the order they were written.
    """

    size: int
    images: tuple[tuple[int, bytes], ...]
    places: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for place, (number, _) in enumerate(self.images):
            self.places[number].append(place)

    def nearest(self, number: int, place: int) -> bytes | None:
        """Return the image of a page that was written closest to another image."""
        places = self.places.get(number)
        return self.images[min(places, key=lambda each: abs(each - place))][1] if places else None


def records(file: bytes, log: bytes) -> Iterator[Record]:
    """Yield row number and columns of every record of a table that is left, newer images later; many come twice.

    Parameters
    ----------
    file, log
        The database and its write-ahead log as bytes, cut or damaged anywhere.
    """
    pages = _pages(file, log)
    for place, (number, image) in enumerate(pages.images):
        head = FIRST_PAGE_STARTS_AT if number == 1 else 0
        if len(image) < head + 8 or image[head] != LEAF_OF_A_TABLE:
            continue
        for index in range(int.from_bytes(image[head + 3 : head + 5])):
            at = head + 8 + 2 * index
            start = int.from_bytes(image[at : at + 2])
            try:
                yield _cell(pages, place, start)
            except (ValueError, IndexError, UnicodeDecodeError):
                continue


def is_cut_or_whole_sqlite(file: bytes) -> bool:
    """Whether the bytes are the beginning of a SQLite file, however short."""
    return file[: len(MAGIC)] == MAGIC[: len(file)]


def _pages(file: bytes, log: bytes) -> Pages:
    told = int.from_bytes(file[16:18]) if len(file) >= 18 else int.from_bytes(log[8:12])
    size = 65536 if told == 1 else told if told in (1 << n for n in range(9, 16)) else 4096
    images = [(at // size + 1, file[at : at + size].ljust(size, b"\0")) for at in range(0, len(file), size)]
    for at in range(LOG_HEADER, len(log) - FRAME_HEADER, FRAME_HEADER + size):
        image = log[at + FRAME_HEADER : at + FRAME_HEADER + size]
        images.append((int.from_bytes(log[at : at + 4]), image.ljust(size, b"\0")))
    return Pages(size, tuple(images))


def _cell(pages: Pages, place: int, start: int) -> Record:
    image = pages.images[place][1]
    length, at = _varint(image, start)
    number, at = _varint(image, at)
    most = pages.size - 35
    local = length
    if length > most:
        least = (pages.size - 12) * 32 // 255 - 23
        local = least + (length - least) % (pages.size - 4)
        local = least if local > most else local
    body = image[at : at + local]
    if length > most:
        body += _overflow(pages, place, int.from_bytes(image[at + local : at + local + 4]), length - local)
    return number, tuple(_columns(body))


def _overflow(pages: Pages, place: int, number: int, length: int) -> bytes:
    """Return what a row has on further pages; shorter where a page is gone."""
    found = b""
    while len(found) < length and number:
        image = pages.nearest(number, place)
        if image is None:
            break
        number, found = int.from_bytes(image[:4]), found + image[4:]
    return found[:length]


def _columns(body: bytes) -> Iterator[Any]:
    """Yield the columns of a record; None for one that is cut."""
    header, at = _varint(body, 0)
    if not 1 < header <= min(len(body), 100):
        raise ValueError("no record")
    types = []
    while at < header:
        kind, at = _varint(body, at)
        types.append(kind)
    if not {10, 11}.isdisjoint(types):
        raise ValueError("no record")
    for kind in types:
        width = _WIDTHS[kind] if kind < 10 else (kind - 12) // 2
        content, at = body[at : at + width], at + width
        if len(content) < width:
            yield None
        elif kind in _INTEGERS:
            yield int.from_bytes(content, signed=True)
        elif kind in (8, 9):
            yield kind - 8
        elif kind >= 12:
            yield content if kind % 2 == 0 else content.decode()
        else:
            yield None


def _varint(image: Sequence[int], at: int) -> tuple[int, int]:
    value = 0
    for step in range(8):
        byte = image[at + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return value << 8 | image[at + 8], at + 9
