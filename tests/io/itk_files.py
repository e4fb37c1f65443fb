"""Small NRRD and MetaImage files, line by line."""

from __future__ import annotations

import numpy as np

HU = np.random.default_rng(1).integers(-1000, 1500, (7, 6, 5)).astype(np.int16)  # z, y, x

NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 6 7",
    "space directions": "(0.7,0,0) (0,0.7,0) (0,0,2.5)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-120.5,33.25,-400)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-120.5 33.25 -400",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "0.7 0.7 2.5",
    "DimSize": "5 6 7",
    "ElementType": "MET_SHORT",
}


def by_hand(path, voxels=HU, **changes):
    """Write a header line by line; a change to None drops the line, ``_`` in a name is a space in NRRD."""
    changes = {name.replace("_", " "): value for name, value in changes.items()}
    is_nrrd = path.suffix == ".nrrd"
    fields = {**(NRRD if is_nrrd else META), **changes, **({} if is_nrrd else {"ElementDataFile": "LOCAL"})}
    mark = ": " if is_nrrd else " = "
    lines = [f"{name}{mark}{value}" for name, value in fields.items() if value is not None]
    head = "\n".join(["NRRD0005", *lines, "\n"]) if is_nrrd else "\n".join([*lines, ""])
    path.write_bytes(head.encode() + voxels.tobytes())
    return path
