"""Which scans a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from napari_covseg.io.files import ITK_SUFFIXES, NIFTI_SUFFIXES, stem_of
from napari_covseg.io.formats import format_of
from napari_covseg.io.picture_names import LABEL_ENDINGS

OF_ONE_FILE = ("NIfTI", "NRRD", "MetaImage")
FILES_ASKED = 3
"""So many files of a folder are asked whether they are DICOM; a series is nothing else, or its folder is none."""


def scans_in(folder: Path) -> Iterator[Path]:
    """Yield every scan below a folder: files of one scan, zipped series, and folders that hold DICOM files themselves.

    Label maps, told by their names, and lone pictures are no scans.

    Raises
    ------
    OSError
        If a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        yield from (file for file in files if _is_scan(file))
        unnamed = [file for file in files if file.suffix.lower() in ("", ".dcm", ".ima") or file.suffix[1:].isdecimal()]
        if any(format_of(file) == "DICOM" for file in unnamed[:FILES_ASKED]):
            yield Path(place)


def only_scan_in(folder: Path) -> Path | None:
    """Return the scan below a folder that holds one, None where there is none or more.

    Raises
    ------
    OSError
        If a folder may not be read.
    """
    found = list(islice(scans_in(folder), 2))
    return found[0] if len(found) == 1 else None


def is_list_of_scans(folder: Path) -> bool:
    """Whether a folder holds scans to read one after the other, not the slices of one study.

    Series below one folder, without a scan in a file beside them, are one study: which one is asked when it opens.

    Raises
    ------
    OSError
        If a folder may not be read.
    """
    files = any(each.name.lower().endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)) for each in folder.iterdir())
    if not files and format_of(folder) is not None:
        return False
    return len(list(islice(scans_in(folder), 2))) > 1


def _is_scan(file: Path) -> bool:
    if stem_of(file).lower().endswith(LABEL_ENDINGS):
        return False
    return format_of(file) in OF_ONE_FILE or (file.suffix.lower() == ".zip" and format_of(file) == "DICOM")
