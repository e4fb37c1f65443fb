"""PNG pictures out."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import numpy.typing as npt

from napari_covseg.io.files import written


def write_png(picture: npt.NDArray[np.uint8], path: Path) -> Path:
    """Write a picture, (H, W, 3) or (H, W), whole or not at all; return the path."""
    with written(path) as draft:
        imageio.imwrite(draft, picture, extension=".png")
    return path
