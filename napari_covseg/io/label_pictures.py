"""Label maps of one slice as PNG: one grey value per class, dark to look at."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from napari_covseg.io.files import written
from napari_covseg.io.pictures import NOMINAL_MM, reading_grid
from napari_covseg.volume import LESIONS, ClassScheme, LabelMap


def write_label_picture(labels: LabelMap, path: Path) -> Path:
    """Write the label map of a picture as a picture of the same size, read it back and compare; return the path.

    Raises
    ------
    ValueError
        If it has more than one slice.
    OSError
        If it cannot be written, or what was read back differs.
    """
    if labels.geometry.shape[0] != 1:
        raise ValueError(f"{path.name} would be a picture of {labels.geometry.shape[0]} slices; write .nii.gz.")
    with written(path) as draft:
        imageio.imwrite(draft, labels.values[0], extension=".png")
        if not np.array_equal(read_label_picture(draft, labels.scheme).values, labels.values):
            raise OSError(f"{path} was not written as it should be; is the disk all right?")
    return path


def read_label_picture(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return a picture as a label map in reading order, nominally of 1 mm pixels.

    Raises
    ------
    ValueError
        If it is damaged, a colour picture, or holds values above 255.
    """
    try:
        values = imageio.imread(path, plugin="pillow")
    except Exception as error:  # decoders fail with whatever a damaged byte leads them to
        raise ValueError(f"{path.name} cannot be read as a picture: it is damaged; copy or export it again.") from error
    if values.ndim != 2:
        raise ValueError(f"{path.name} is a colour picture; a label slice has one grey value per class.")
    if values.max(initial=0) > np.iinfo(np.uint8).max:
        raise ValueError(f"{path.name} holds values up to {values.max()}; a label slice has classes 0…255.")
    values = values.astype(np.uint8)[None]
    return LabelMap(values, reading_grid(values.shape, NOMINAL_MM), scheme)
