"""JPEG pictures that libjpeg decodes though it finds them damaged, of which Pillow says nothing."""

from __future__ import annotations

from pathlib import Path

from napari_covseg.io.files import name_for_itk
from napari_covseg.io.silence import STDOUT, heard


def is_doubtful(path: Path) -> bool:
    """Whether ITK's libjpeg complains of a JPEG file: of data that are missing, left over or make no sense.

    Raises
    ------
    ValueError
        If its name is not valid UTF-8.
    """
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    name = name_for_itk(path)
    with heard() as said, heard(STDOUT) as said_there:
        try:
            sitk.ReadImage(name)
        except RuntimeError:
            return True
    return bool(said or said_there)
