"""PNG and JPEG slices in: grey values become Hounsfield units by the window that the reader states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from napari_covseg.io import jpeg
from napari_covseg.io.files import PICTURE_SUFFIXES, stem_of
from napari_covseg.io.hounsfield import MOST_LABELS, window_note, windowed
from napari_covseg.io.masks import why_a_mask
from napari_covseg.io.memory import require_memory
from napari_covseg.io.picture_names import slices_in
from napari_covseg.io.rows import broken_off
from napari_covseg.io.stated import Stated, UnstatedError
from napari_covseg.volume import Geometry, Volume

NOMINAL_MM = (1.0, 1.0, 1.0)
UPRIGHT = 1
"""How EXIF calls a picture that is to be shown as it is stored."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B")
"""How Pillow calls what is grey, or may be: printers' inks are the other way round, and Lab is none."""

COLOUR_TOLERANCE = 8
"""JPEG's grey is not quite grey: its three colours may be this far apart."""


def read_pictures(path: Path, stated: Stated) -> Volume:
    """Return a picture as a scan of one slice, or a folder of them as one from the apex down.

    Raises
    ------
    UnstatedError
        If the window is not stated, or, for a folder, the spacing.
    ValueError
        If a file is no grey picture, the pictures of a folder differ in size, or they are label maps.
    """
    name = path.name if path.is_file() else stem_of(path)
    if stated.window_hu is None:
        sentence = f"{name} holds grey values, not Hounsfield units; state the window that it shows"
        if path.is_dir() and stated.spacing_mm is None:
            raise UnstatedError(
                f"{sentence}, and how far columns, rows and slices are apart in mm.", "window", "spacing"
            )
        raise UnstatedError(f"{sentence}.", "window")
    if path.is_dir() and stated.spacing_mm is None:
        raise UnstatedError(
            f"{name} is a folder of pictures; to open them as one scan, state how far columns, rows and slices are "
            "apart in mm.",
            "spacing",
        )
    files, oddities = slices_in(path) if path.is_dir() else ([path], ())
    hu, white = _stack(name, files, stated.window_hu)
    notes = [window_note(name, stated.window_hu, white), *oddities, *_damage(name, files, hu)]
    if path.is_dir():
        notes.insert(1, f"The {len(files)} pictures of {name} became one scan, by their names from the apex down.")
    if stated.spacing_mm is None:
        notes.append(f"{name} does not say how large its pixels are; 1 mm was assumed, so millilitres are no measure.")
    return Volume(hu, reading_grid(hu.shape, stated.spacing_mm or NOMINAL_MM), stem_of(path), tuple(notes))


def reading_grid(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return the grid of (slice, row, column) in reading order, whose first slice is the apex."""
    column, row, between = spacing_mm
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -between, -row, -column, 1
    return Geometry((shape[0], shape[1], shape[2]), affine)


def _stack(name: str, files: list[Path], window_hu: tuple[float, float]) -> tuple[npt.NDArray[np.float32], float]:
    """Return the Hounsfield units of the pictures, and which of their grey values is white."""
    first = grey_of_picture(files[0])
    white = float(np.iinfo(first.dtype).max)
    require_memory(name, len(files) * first.size, np.dtype(np.float32).itemsize)
    hu = np.empty((len(files), *first.shape), dtype=np.float32)
    kinds: set[int] = set()
    masks: list[str] = []
    lightest = 0
    for index, file in enumerate(files):
        grey = first if index == 0 else grey_of_picture(file)
        if (grey.shape, grey.dtype) != (first.shape, first.dtype):
            unlike = "size" if grey.shape != first.shape else "bits"
            raise ValueError(
                f"{name}: {file.name} and {files[0].name} differ in {unlike}; keep slices of one kind only."
            )
        if len(kinds) <= MOST_LABELS:
            kinds |= set(np.unique(grey).tolist())
        lightest = max(lightest, int(grey.max()))
        hu[index] = windowed(grey, window_hu, white)
        if grey.dtype == np.uint8 and grey.any():
            masks.append(why_a_mask(grey[..., None]))
    if (0 in kinds or len(kinds) == 2) and 1 < len(kinds) <= MOST_LABELS:
        listed = ", ".join(str(kind) for kind in sorted(kinds))
        raise ValueError(f"{name} is a label map (it holds only {listed}), not a scan; give the scan it belongs to.")
    if masks and all(masks):
        raise ValueError(f"{name} {masks[0]}, not a scan; give the scan it belongs to.")
    if first.dtype == np.uint16 and lightest <= white / 2:
        raise ValueError(
            f"{name} holds 16-bit values up to {lightest}, and nothing says which is white; save it with 8 bits."
        )
    return hu, white


def _damage(name: str, files: list[Path], hu: npt.NDArray[np.float32]) -> tuple[str, ...]:
    """Return a sentence where JPEG slices are damaged: the format has no checksum."""
    kinds = [PICTURE_SUFFIXES[file.suffix.lower()] for file in files]
    doubtful = {index for index, file in enumerate(files) if kinds[index] == "JPEG" and jpeg.is_doubtful(file)}
    if "JPEG" in kinds:
        doubtful |= set(broken_off(hu))
    if not doubtful:
        return ()
    first, *others = (files[index].name for index in sorted(doubtful))
    more = f" and {len(others)} more" if others else ""
    return (f"The pixels of {name} may be damaged ({first}{more}); look at these pictures, or export them again.",)


def grey_of_picture(path: Path) -> npt.NDArray[Any]:
    """Return the grey values of a picture, (row, column), uint8 or uint16.

    Raises
    ------
    ValueError
        If it is damaged, turned, or no grey picture.
    """
    try:
        with Image.open(path) as opened:
            opened.verify()  # decoding looks at no checksum
        picture = np.asarray(imageio.imread(path, plugin="pillow"))
        with Image.open(path) as opened:
            mode, is_turned = opened.mode, opened.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path.name} is far larger than a CT slice; export it in the scan's own pixels.") from error
    except Exception as error:  # decoders fail with whatever a damaged byte leads them to
        raise ValueError(f"{path.name} cannot be read as a picture: it is damaged; copy or export it again.") from error
    if mode not in MODES:
        raise ValueError(f"{path.name} holds no grey values but colours ({mode}); export it as a grey picture.")
    if is_turned:
        raise ValueError(f"{path.name} is a turned picture (EXIF orientation); save it upright.")
    if picture.ndim == 3 and picture.shape[2] in (3, 4):
        colours = picture[..., :3].astype(np.int16)
        if np.ptp(colours, axis=2).max() > COLOUR_TOLERANCE:
            raise ValueError(f"{path.name} is a colour picture; a CT slice is grey: export it without colours.")
        picture = picture[..., 1]
    elif picture.ndim == 3 and picture.shape[2] == 2:
        picture = picture[..., 0]
    if picture.ndim != 2 or picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path.name} is no grey picture of 8 or 16 bits; export it as one.")
    return picture
