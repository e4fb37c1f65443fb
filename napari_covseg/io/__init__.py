"""The only room that knows file formats."""

from napari_covseg.io.files import home, stem_of, written
from napari_covseg.io.formats import format_of
from napari_covseg.io.label_pictures import read_label_picture, write_label_picture
from napari_covseg.io.nifti import note_in
from napari_covseg.io.nifti_out import write_labels, write_volume
from napari_covseg.io.picture_names import is_named_labels, is_picture
from napari_covseg.io.sample import sample_lesion, sample_lung, sample_scan
from napari_covseg.io.scans import read_either, read_labels, read_volume
from napari_covseg.io.stated import SeriesSummary, Stated, UnstatedError

__all__ = [
    "SeriesSummary",
    "Stated",
    "UnstatedError",
    "format_of",
    "home",
    "is_named_labels",
    "is_picture",
    "note_in",
    "read_either",
    "read_label_picture",
    "read_labels",
    "read_volume",
    "sample_lesion",
    "sample_lung",
    "sample_scan",
    "stem_of",
    "write_label_picture",
    "write_labels",
    "write_volume",
    "written",
]
