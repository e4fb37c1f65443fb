"""Ways to break a scan: bytes overwritten, files cut short, tags, lines and slices taken away."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from io_sources import Bytes

NIFTI_HEADER = 352
NUMBER = frozenset(b"0123456789.+-eE")
PLACES = (b"space directions:", b"space origin:", b"ElementSpacing", b"Offset", b"TransformMatrix")
"""The lines of a header that say where voxels are; nothing else in an NRRD or MetaImage file does."""


@dataclass(frozen=True)
class Broken:
    """A broken scan.

    Parameters
    ----------
    how
        How it was broken.
    files
        What it is now.
    voxel_bytes
        How many bytes of stored, uncompressed voxels were overwritten.
    slice_struck
        Whether bytes within the compressed pixels of one slice were, in a format without a checksum.
    number_struck
        Whether a digit, sign or point of a place that is said only once became another.
    last_gone
        Whether only the slices with the greatest numbers were taken away.
    """

    how: str
    files: Bytes
    voxel_bytes: int = 0
    slice_struck: bool = False
    number_struck: bool = False
    last_gone: bool = False


CHANGES: dict[str, tuple[Any, ...]] = {
    "Rows": (80, 150, 320),
    "Columns": (80, 150, 320),
    "BitsStored": (8, 10, 11),
    "PixelRepresentation": (1,),
    "SamplesPerPixel": (3,),
    "NumberOfFrames": (2,),
    "RescaleIntercept": (0, -2048),
    "RescaleSlope": (0, 10),
    "PixelSpacing": ([6.5, 6.5], [0.065, 0.065]),
    "Modality": ("MR", "PT"),
    "PatientID": ("", "another"),
    "SeriesInstanceUID": ("",),
}
"""What a reader should notice when all slices say it."""

Break = Callable[[Bytes, np.random.Generator], Broken]


def breaks_of(kind: str) -> tuple[Break, ...]:
    """Return the ways to break a scan of a kind."""
    return _BREAKS[kind.removeprefix("packed ") if kind in ("packed nrrd", "packed mha") else kind]


def _overwrite(content: bytes, rng: np.random.Generator, start: int, stop: int) -> tuple[bytes, list[int]]:
    broken, places = bytearray(content), [int(at) for at in rng.integers(start, stop, int(rng.integers(1, 9)))]
    for at in places:
        broken[at] = int(rng.integers(256))
    return bytes(broken), places


def _another_digit(content: bytes, rng: np.random.Generator, start: int, stop: int) -> tuple[bytes, int]:
    """Return the bytes with one digit between two places become another, and its place."""
    digits = [at for at in range(start, stop) if content[at] in b"0123456789"]
    at, broken = digits[int(rng.integers(len(digits)))], bytearray(content)
    broken[at] = ord("0") + (content[at] - ord("0") + int(rng.integers(1, 10))) % 10
    return bytes(broken), at


def _one(files: Bytes, rng: np.random.Generator) -> str:
    return sorted(files)[int(rng.integers(len(files)))]


def _suffix(name: str) -> str:
    return name.partition(".")[2] if name.startswith("scan.") else Path(name).suffix[1:]


def _anywhere(files: Bytes, rng: np.random.Generator) -> Broken:
    """Overwrite bytes anywhere in a file that has checksums."""
    name = _one(files, rng)
    return Broken(f"{_suffix(name)} bytes", {**files, name: _overwrite(files[name], rng, 0, len(files[name]))[0]})


def _cut(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    end = int(rng.integers(len(files[name])))
    return Broken(f"{_suffix(name)} cut", {**files, name: files[name][:end]})


def _slice_gone(files: Bytes, rng: np.random.Generator) -> Broken:
    inner = sorted(files)[1:-1]
    gone = inner[int(rng.integers(len(inner)))]
    return Broken(f"{_suffix(gone)} slice gone", {name: content for name, content in files.items() if name != gone})


# --- NIfTI ------------------------------------------------------------------------------------------------------------


def _nifti_header(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    is_packed = name.endswith(".gz")
    broken, _ = _overwrite(gzip.decompress(content) if is_packed else content, rng, 0, NIFTI_HEADER)
    return Broken(f"{name[5:]} header", {name: gzip.compress(broken, 1) if is_packed else broken})


def _nifti_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    broken, places = _overwrite(content, rng, 0, len(content))
    return Broken("nii bytes", {name: broken}, sum(at >= NIFTI_HEADER for at in places))


# --- NRRD and MetaImage -----------------------------------------------------------------------------------------------


def _text_header(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    broken, places = _overwrite(content, rng, 0, _text_ends(content))
    return Broken(f"{name[5:]} header", {name: broken}, number_struck=_strikes_a_number(content, broken, places))


def _text_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    broken, places = _overwrite(content, rng, 0, len(content))
    struck = sum(at >= _text_ends(content) for at in places)
    if b"encoding: gzip" in content or b"CompressedData = True" in content:
        struck = 0
    number_struck = _strikes_a_number(content, broken, places)
    return Broken(f"{name[5:]} bytes", {name: broken}, voxel_bytes=struck, number_struck=number_struck)


def _text_digit(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    broken, at = _another_digit(content, rng, 0, _text_ends(content))
    return Broken(f"{name[5:]} digit", {name: broken}, number_struck=_strikes_a_number(content, broken, [at]))


def _line_gone(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    end = _text_ends(content)
    lines = content[:end].splitlines(keepends=True)
    gone = int(rng.integers(len(lines)))
    what = lines[gone].split(b":")[0].split(b"=")[0].strip().decode()
    kept = b"".join(lines[:gone] + lines[gone + 1 :]) + content[end:]
    return Broken(f"{name[5:]} line gone: {what}", {name: kept})


def _text_ends(content: bytes) -> int:
    mark = b"\n\n" if content.startswith(b"NRRD") else b"ElementDataFile = LOCAL\n"
    return content.index(mark) + len(mark)


def _strikes_a_number(content: bytes, broken: bytes, places: list[int]) -> bool:
    def line_of(at: int) -> bytes:
        return content[content.rfind(b"\n", 0, at) + 1 :]

    ends = _text_ends(content)
    others = [at for at in places if at < ends and {content[at], broken[at]} <= NUMBER and content[at] != broken[at]]
    return any(line_of(at).startswith(PLACES) for at in others)


# --- DICOM ------------------------------------------------------------------------------------------------------------


def _dicom_header(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    broken, _ = _overwrite(files[name], rng, 128, _pixels_at(files[name]))
    return Broken("dcm header", {**files, name: broken})


def _dicom_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    broken, places = _overwrite(files[name], rng, 0, len(files[name]))
    pixels_at = _pixels_at(files[name])
    return Broken("dcm bytes", {**files, name: broken}, sum(at >= pixels_at for at in places))


def _packed_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    broken, _ = _overwrite(files[name], rng, _pixels_at(files[name]), len(files[name]))
    return Broken("packed dcm pixels", {**files, name: broken}, slice_struck=True)


def _pixels_at(content: bytes) -> int:
    """Return where the pixels begin, after the head of their element."""
    return max(content.rfind(b"\xe0\x7f\x10\x00" + kind) for kind in (b"OW", b"OB")) + 12


def _tag_removed(files: Bytes, rng: np.random.Generator, *, everywhere: bool) -> Broken:
    import pydicom

    names = sorted(files) if everywhere else [_one(files, rng)]
    tags = list(pydicom.dcmread(io.BytesIO(files[names[0]])).keys())
    tag = tags[int(rng.integers(len(tags)))]
    broken = dict(files)
    for name in names:
        image = pydicom.dcmread(io.BytesIO(files[name]))
        image.pop(tag, None)
        stream = io.BytesIO()
        image.save_as(stream)
        broken[name] = stream.getvalue()
    return Broken(f"dcm tag removed from {'all' if everywhere else 'one'}", broken)


def _dicom_digit(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    broken, _ = _another_digit(files[name], rng, 400, _pixels_at(files[name]))
    return Broken("dcm digit", {**files, name: broken})


def _tag_changed(files: Bytes, rng: np.random.Generator) -> Broken:
    """Change a tag in all slices alike, so that none of them tells on the others."""
    import pydicom

    tag, values = list(CHANGES.items())[int(rng.integers(len(CHANGES)))]
    value, broken = values[int(rng.integers(len(values)))], {}
    for name, content in files.items():
        image = pydicom.dcmread(io.BytesIO(content))
        setattr(image, tag, value)
        stream = io.BytesIO()
        image.save_as(stream)
        broken[name] = stream.getvalue()
    return Broken(f"dcm {tag} changed in all", broken)


def _end_gone(files: Bytes, rng: np.random.Generator) -> Broken:
    names = sorted(files)
    count, is_last = int(rng.integers(1, 3)), bool(rng.integers(2))
    kept = names[:-count] if is_last else names[count:]
    how = f"{_suffix(names[0])} {'last' if is_last else 'first'} slices gone"
    return Broken(how, {name: files[name] for name in kept}, last_gone=is_last)


def _tag_of_one(files: Bytes, rng: np.random.Generator) -> Broken:
    return _tag_removed(files, rng, everywhere=False)


def _tag_of_all(files: Bytes, rng: np.random.Generator) -> Broken:
    return _tag_removed(files, rng, everywhere=True)


def _jpg_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    name = _one(files, rng)
    return Broken("jpg bytes", {**files, name: _overwrite(files[name], rng, 0, len(files[name]))[0]}, slice_struck=True)


_FILE = (_dicom_header, _dicom_header, _dicom_digit, _cut, _tag_of_all, _tag_changed)
_DICOM = (*_FILE, _tag_of_one, _slice_gone, _end_gone)
_BREAKS: dict[str, tuple[Break, ...]] = {
    "nii.gz": (_anywhere, _nifti_header, _cut),
    "nii": (_nifti_bytes, _nifti_header, _cut),
    "nrrd": (_text_header, _text_digit, _text_bytes, _line_gone, _cut),
    "mha": (_text_header, _text_digit, _text_bytes, _line_gone, _cut),
    "dicom": (*_DICOM, _dicom_bytes),
    "enhanced": (*_FILE, _dicom_bytes),
    "packed dicom": (*_DICOM, _packed_bytes),
    "zip": (_anywhere, _cut),
    "png": (_anywhere, _cut, _slice_gone),
    "jpg": (_jpg_bytes, _cut, _slice_gone),
}
