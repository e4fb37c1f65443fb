"""Numbers in a header that no program writes: of one with all its digits, a changed digit shows.

A program that writes a number with 17 digits or more writes those nearest to the number it has in memory, and most
other strings of as many digits are nearest to none.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from napari_covseg.io.itk_header import Header

PLACES = (
    *("spacings", "spacedirections", "spaceorigin", "thicknesses"),
    *("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation"),
)
ALL_DIGITS = 17
"""So many tell any number of 64 bits from the next; with fewer, every string is one that a program writes."""


def doubt_about_digits(header: Header, name: str) -> tuple[str, ...]:
    """Return a sentence if a number that says where the voxels are is one that no program writes."""
    odd = next((word for word in _words(header) if not _is_written(word)), None)
    if odd is None:
        return ()
    said = f"{name} says where its voxels are with a number that no program writes ({odd}): a digit may have changed"
    return (f"{said}; copy it again, or check its lengths before you measure.",)


def _words(header: Header) -> Iterator[str]:
    for place in PLACES:
        text = header.fields.get(place, "")
        yield from text.replace("(", " ").replace(")", " ").replace(",", " ").split()


def _is_written(word: str) -> bool:
    try:
        number = Decimal(word)
    except InvalidOperation:
        return True
    digits = len(number.normalize().as_tuple().digits)
    return not number.is_finite() or digits < ALL_DIGITS or number == Decimal(f"{float(word):.{digits}g}")
