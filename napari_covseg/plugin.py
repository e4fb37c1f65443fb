"""What `napari.yaml` calls for files: plain layer tuples in reading order, and label maps back on the scan's own grid.

A layer's grid travels in its metadata, ``{"covseg": {"geometry": …, "home": …}}``: the geometry it is shown on, and
the file's own, which is what its labels are written on. The data are never flipped; the view is.

A labels layer that napari makes with *New labels* has no metadata. It then belongs to the scan whose name it bears
(napari calls it ``<scan> - Labels``), if that scan was opened here with the same shape and spacing. Whatever
cannot be traced to one scan is refused in a sentence: no mask is ever written with a made-up position.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_covseg.io import format_of, read_either, read_labels, sample_lesion, sample_scan, stem_of, write_labels
from napari_covseg.io.files import locked
from napari_covseg.volume import LESIONS, LUNGS, Geometry, LabelMap, Volume, labels_on, reoriented
from napari_covseg.volume.presets import LUNG

Layer = tuple[npt.NDArray[Any], dict[str, Any], str]
Reader = Callable[[str], list[Layer]]
Image = TypeVar("Image", Volume | LabelMap, LabelMap)

SCHEMES = {"_lesion": LESIONS, "_lung": LUNGS}
"""Files with these endings are label maps, as this program writes them."""

NOT_OURS = (None, "PNG", "JPEG")
"""napari opens pictures itself; as CT they take a window, which the Open panel and the command line ask for."""

_opened: dict[tuple[Any, ...], list[tuple[str, Geometry]]] = {}
"""Name and file's geometry of every scan opened here, by shape and spacing. Never forgotten: a scan that dropped
out could make another one look like the only match."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader of a scan or label map; None for anything else, such as a picture or a stack of files."""
    if not isinstance(path, str):
        return None
    try:
        return read if format_of(Path(path)) not in NOT_OURS else None
    except OSError:  # a folder that may not be read; the reader says so
        return read


def read(path: str) -> list[Layer]:
    """Return a file's one layer, an image or labels.

    Raises
    ------
    ValueError
        If it cannot be read; napari shows the sentence.
    """
    try:
        return _layers_of(Path(path))
    except PermissionError as error:  # a folder on the way there may not be entered
        raise locked(path) from error


def write(path: str, values: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI on its scan's own grid and return the path.

    Raises
    ------
    OSError
        If it cannot be written, or nothing tells where in a patient it belongs. (npe2 takes a ValueError for "no
        writer found" and would swallow the sentence.)
    """
    try:
        voxels = _as_uint8(np.asarray(values), str(attributes.get("name", "")))
        shown_on, home = _grids(voxels.shape, attributes)
        return [str(write_labels(labels_on(LabelMap(voxels, shown_on), home), Path(path)))]
    except ValueError as error:
        raise OSError(str(error)) from error


def sample() -> list[Layer]:
    """Return the bundled synthetic chest CT and its lesions."""
    return [*read(str(sample_scan())), *read(str(sample_lesion()))]


def _layers_of(place: Path) -> list[Layer]:
    for ending, scheme in SCHEMES.items():
        if not place.is_dir() and stem_of(place).endswith(ending):
            return [_labels_layer(_told(read_labels(place, scheme)), stem_of(place))]
    image = _told(read_either(place))
    if isinstance(image, LabelMap):
        return [_labels_layer(image, stem_of(place))]
    return [_scan_layer(image)]


def _told(image: Image) -> Image:
    """Return the image; what is doubtful about it is a warning, which napari shows in a corner of its window."""
    for note in image.notes:
        warnings.warn(note, stacklevel=2)
    return image


def _scan_layer(scan: Volume) -> Layer:
    view = reoriented(scan)
    known = _opened.setdefault(_key(view.geometry.shape, view.geometry.spacing_mm), [])
    if not any(name == scan.name and home.same_grid(scan.geometry) for name, home in known):
        known.append((scan.name, scan.geometry))
    attributes = _attributes(scan.name, view.geometry, scan.geometry)
    return view.hu, {**attributes, "contrast_limits": LUNG.limits_hu, "colormap": "gray"}, "image"


def _labels_layer(labels: LabelMap, name: str) -> Layer:
    view = reoriented(labels)
    colours: dict[int | None, str] = {None: "#ffffff", 0: "transparent"}
    colours |= {each.value: each.colour for each in labels.scheme}
    attributes = _attributes(name, view.geometry, labels.geometry)
    return view.values, {**attributes, "colormap": colours, "opacity": 0.5}, "labels"


def _attributes(name: str, shown_on: Geometry, home: Geometry) -> dict[str, Any]:
    return {
        "name": name,
        "scale": shown_on.spacing_mm,
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("slice", "row", "column"),
        "metadata": {"covseg": {"geometry": shown_on, "home": home}},
    }


def _as_uint8(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if values.ndim != 3:
        raise ValueError(f"The layer {name!r} has {values.ndim} axes; a label map of a chest CT has three.")
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"The layer {name!r} holds labels outside 0…255; a label map cannot store them.")
    return values.astype(np.uint8)


def _grids(shape: tuple[int, ...], attributes: dict[str, Any]) -> tuple[Geometry, Geometry]:
    """Return the grid a layer is shown on and the one its file is to have."""
    name = str(attributes.get("name", ""))
    known = attributes.get("metadata", {}).get("covseg", {})
    shown_on, home = known.get("geometry"), known.get("home")
    if isinstance(shown_on, Geometry) and isinstance(home, Geometry):
        if shown_on.shape != shape:
            raise ValueError(f"The layer {name!r} no longer has its scan's shape; save labels of the whole scan.")
        return shown_on, home
    scan = re.sub(r"( \[\d+\])?( - Labels)?( \[\d+\])?$", "", name)
    candidates = _opened.get(_key(shape, attributes.get("scale", ())), [])
    homes = [home for candidate, home in candidates if candidate == scan]
    if not homes:
        raise ValueError(
            f"Nothing tells which scan the layer {name!r} belongs to; open the scan with File > Open, select it, "
            "make new labels, and keep the name napari gives them."
        )
    if len(homes) > 1:
        raise ValueError(
            f"The layer {name!r} could belong to {len(homes)} scans called {scan}; export it from the CovSeg panel, "
            "or restart napari and open only its own scan."
        )
    return homes[0].reading(), homes[0]


def _key(shape: Sequence[int], scale: Sequence[float]) -> tuple[Any, ...]:
    return (*shape, *(round(float(mm), 6) for mm in scale))
