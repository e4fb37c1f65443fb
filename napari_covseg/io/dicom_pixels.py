"""The pixels of DICOM slices as Hounsfield units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels import pixel_array

from napari_covseg.io.dicom_jpeg import frame_of_12_bit_jpeg, is_12_bit_jpeg, refuse_another_size
from napari_covseg.io.dicom_paths import stream_of
from napari_covseg.io.dicom_place import Slice
from napari_covseg.io.dicom_tags import LONGEST_ELEMENT_HEAD, PIXEL_DATA_TAG, TAGS, Frame
from napari_covseg.io.hounsfield_body import BELOW_AIR_HU, PADDINGS
from napari_covseg.io.memory import require_memory
from napari_covseg.io.rows import broken_off
from napari_covseg.io.silence import heard
from napari_covseg.volume import AIR_HU

Plane = npt.NDArray[Any]

EXCESS = re.compile(r"non-conformant padding - (\d+) vs. (\d+)")
"""What pydicom says of run lengths that make more bytes than the image has."""

CORRUPT = "Corrupt JPEG data"
"""What libjpeg prints where it goes on all the same."""

MOST_EXCESS = 2
"""Writers pad to an even length; damage makes more of it."""

PIXEL_TAGS = [*TAGS, "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PlanarConfiguration"]
INT16 = np.iinfo(np.int16)
AGAIN = "copy or export it again"
MOST_CLEARED = 0.1
"""Overlays mark fewer pixels; where more hold bits that are not theirs, their values are not what they say."""

FEWEST_RIGHT = 3
"""So many slices have to state their extremes rightly before one that does not is believed to be damaged."""

NO_DECODER = ("missing dependenc", "no pixel data decoders")
"""What pydicom says where nothing is installed that could decode a syntax, or nothing exists."""


@dataclass(slots=True)
class Opened:
    """The file whose frames are being decoded, the names of those that may be damaged, and of those with odd bits.

    `extremes` holds those that state their least and greatest pixel, and whether they really are these.
    """

    file: Traversable | None = None
    image: pydicom.Dataset | None = None
    doubtful: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    extremes: list[tuple[str, bool]] = field(default_factory=list)


def hounsfield(name: str, slices: Sequence[Slice]) -> tuple[Plane, int, tuple[str, ...]]:
    """Return (column, row, slice) Hounsfield units, how many voxels were padding and became air, and what is doubtful.

    They are int16, or float32 if they are not whole or too large.

    Raises
    ------
    ValueError
        If the pixels of a slice cannot be read, or all of them do not fit into memory.
    """
    columns, rows = slices[0].frame.size
    require_memory(name, len(slices) * rows * columns, np.dtype(np.int16).itemsize)
    hu: Plane = np.empty((len(slices), rows, columns), dtype=np.int16)
    opened = Opened()
    padded = 0
    for index, each in enumerate(slices):
        plane, count = plane_hu(name, each.frame, opened)
        padded += count
        if hu.dtype == np.int16 and not _is_int16(plane):
            hu = hu.astype(np.float32)
        hu[index] = plane
    if any(each.frame.is_compressed for each in slices):
        opened.doubtful += [slices[k].frame.name for k in broken_off(hu)]
    return hu.transpose(2, 1, 0), padded, _doubts(name, opened)


def plane_hu(name: str, frame: Frame, opened: Opened) -> tuple[Plane, int]:
    """Return one slice's Hounsfield units, (row, column), and how many of them were padding and not yet air.

    They are int16 wherever that is easily had, or float64. Padding outside the scanner's field of view is air. The
    file is kept in `opened` for its next frame.

    Raises
    ------
    ValueError
        If its pixels cannot be read.
    """
    found = _pixels(name, frame, opened)
    stored = _without_unused_bits(found, frame)
    low, high = int(stored.min()), int(stored.max())
    if frame.extremes:
        opened.extremes.append((frame.name, frame.extremes == (low, high)))
    if stored is not found and (cleared := _share_cleared(found, stored, frame)):
        opened.cleared.append(frame.name)
        if cleared > MOST_CLEARED:
            raise ValueError(
                f"{name}: {100 * cleared:.0f} % of the pixels of {frame.name} do not fit into the {frame.stored[3]} "
                "bits that it states, so nobody knows what they are; export the series again."
            )
    slope, intercept = frame.rescale or (1.0, 0.0)
    plane = _rescaled(stored, (low, high), slope, intercept)
    if _is_taken_for_signed(stored, plane, frame):
        opened.signed.append(frame.name)
    if frame.padding:
        low, high = sorted(np.asarray([frame.padding[0], frame.padding[-1]]).astype(np.int64).astype(stored.dtype))
        is_padding = (stored >= low) & (stored <= high)
        count = int(np.count_nonzero(is_padding & (plane != AIR_HU)))
        plane[is_padding] = AIR_HU
        return plane, count
    return plane, 0


def _doubts(name: str, opened: Opened) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if damaged := _some_of(dict.fromkeys(opened.doubtful)):
        notes += (f"{name} has compressed pixels that may be damaged ({damaged}); look at these slices closely.",)
    if others := _some_of(_of_other_extremes(opened.extremes)):
        unlike = f"Slices of {name} ({others}) hold other least and greatest pixels than they state, unlike the others"
        notes += (f"{unlike}: they may be damaged; look at them closely.",)
    if cleared := _some_of(opened.cleared):
        taken = f"{name} has pixels that use more bits than it states ({cleared}), which were taken for overlays and "
        notes += (f"{taken}cleared: look whether bone and contrast are as bright as they should be.",)
    if signed := _some_of(opened.signed):
        below = f"{name} holds many values far below air ({signed}), as where it says wrongly that they have a sign; "
        notes += (f"{below}do not measure before you have looked at bone and contrast.",)
    return notes


def _of_other_extremes(extremes: Sequence[tuple[str, bool]]) -> list[str]:
    """Return the slices whose extremes are not those they state, where most of at least three others' are."""
    wrong = [name for name, are_stated in extremes if not are_stated]
    right = len(extremes) - len(wrong)
    return wrong if right >= FEWEST_RIGHT and right > len(wrong) else []


def _some_of(found: Iterable[str]) -> str:
    names = list(found)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""


def _pixels(name: str, frame: Frame, opened: Opened) -> Plane:
    try:
        stored = _native(frame) if frame.native_at else _decoded(frame, opened)
    except Exception as error:  # decoders fail with whatever a damaged byte leads them to
        lacks = any(words in str(error).lower() for words in NO_DECODER)
        remedy = "export it uncompressed, or try pip install 'napari-covseg[compressed]'" if lacks else AGAIN
        raise ValueError(f"{name}: the pixels of {frame.file.name} cannot be read; {remedy}.") from error
    if stored.shape != frame.size[::-1]:
        raise ValueError(f"{name}: the pixels of {frame.file.name} are not of the size it states; export it again.")
    return stored


def _native(frame: Frame) -> Plane:
    columns, rows = frame.size
    dtype = np.dtype(f"<{'i' if frame.stored[5] else 'u'}{frame.stored[2] // 8}")
    with stream_of(frame.file) as stream:
        stream.seek(frame.native_at - LONGEST_ELEMENT_HEAD)
        pixels = stream.read(LONGEST_ELEMENT_HEAD + rows * columns * dtype.itemsize)
    if PIXEL_DATA_TAG not in (pixels[:4], pixels[4:8]):
        raise ValueError("the file was changed while it was read")
    return np.frombuffer(pixels, dtype=dtype, offset=LONGEST_ELEMENT_HEAD).reshape(rows, columns)


def _decoded(frame: Frame, opened: Opened) -> Plane:
    with heard() as said:
        if opened.image is None or opened.file is not frame.file:
            with stream_of(frame.file) as stream:
                opened.file, opened.image = frame.file, pydicom.dcmread(stream, specific_tags=[*PIXEL_TAGS])
        image, index = opened.image, max(frame.index, 0)
        _refuse_leftovers(image)
        refuse_another_size(image, index)
        if is_12_bit_jpeg(image):
            stored = frame_of_12_bit_jpeg(image, index)
        else:
            stored = np.asarray(pixel_array(image, index=index, raw=True))
    excess = max((_excess(line) for line in said), default=0)
    if excess or any(line.startswith(CORRUPT) for line in said):
        opened.doubtful.append(frame.name)
    if excess > MOST_EXCESS:
        raise ValueError("it unpacks to more than an image")
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _refuse_leftovers(image: pydicom.Dataset) -> None:
    """Refuse uncompressed pixels of another size than stated, whatever their byte order: pydicom drops the rest."""
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames, samples = (int(image.get(tag) or 1) for tag in ("NumberOfFrames", "SamplesPerPixel"))
    expected = frames * samples * image.Rows * image.Columns * image.BitsAllocated // 8
    if len(image.PixelData) not in (expected, expected + expected % 2):
        raise ValueError("it holds more or fewer pixels than it says")


def _excess(words: str) -> int:
    found = EXCESS.search(words)
    return int(found[1]) - int(found[2]) if found else 0


def _without_unused_bits(stored: Plane, frame: Frame) -> Plane:
    """Clear the bits above those that are stored, where old scanners kept their overlays."""
    bits = frame.stored[3]
    if not isinstance(bits, int) or stored.dtype.kind not in "iu" or not 0 < bits < 8 * stored.dtype.itemsize:
        return stored
    if stored.dtype.kind == "u":
        return stored & ((1 << bits) - 1) if stored.max() >> bits else stored
    unused = 8 * stored.dtype.itemsize - bits
    signed: Plane = (stored << unused) >> unused
    return stored if np.array_equal(signed, stored) else signed


def _is_taken_for_signed(stored: Plane, plane: Plane, frame: Frame) -> bool:
    """Whether more values below zero lie below air than padding has, in slices that keep them in fewer bits."""
    bits = frame.stored[3]
    if stored.dtype.kind != "i" or not isinstance(bits, int) or bits >= 8 * stored.dtype.itemsize:
        return False
    is_below = plane < BELOW_AIR_HU
    return bool(is_below.any()) and len(set(stored[is_below].tolist()) - set(frame.padding)) > PADDINGS


def _share_cleared(found: Plane, stored: Plane, frame: Frame) -> float:
    """Return of which share of the pixels bits in use were cleared.

    What marks the outside of the field of view may use all bits, and a number below zero need not fill them.
    """
    changed = found != stored
    for padding in frame.padding:
        changed &= found != np.asarray(padding).astype(np.int64).astype(found.dtype)
    if found.dtype.kind == "i":
        slope, intercept = frame.rescale or (1.0, 0.0)
        is_plain = (found >= 0) & (found < 1 << frame.stored[3])
        changed &= ~is_plain | (stored * float(slope) + float(intercept) < BELOW_AIR_HU)
    return float(changed.mean())


def _rescaled(stored: Plane, ends: tuple[int, int], slope: float, intercept: float) -> Plane:
    if slope == 1 and intercept == int(intercept) and INT16.min <= intercept <= INT16.max and stored.dtype.kind in "iu":
        low, high = (end + intercept for end in ends)
        if INT16.min <= low and high <= INT16.max:
            if stored.dtype.itemsize == 2:
                return stored.view(np.int16) + np.int16(intercept)  # what wraps on the way in wraps back
            return (stored.astype(np.int32) + int(intercept)).astype(np.int16)
    return stored * float(slope) + float(intercept)


def _is_int16(plane: Plane) -> bool:
    if plane.dtype == np.int16:
        return True
    return bool(plane.min() >= INT16.min and plane.max() <= INT16.max and np.array_equal(plane, np.rint(plane)))
