"""The only room that knows file formats."""

from napari_covseg.io.files import home, stem_of, written
from napari_covseg.io.sample import sample_lesion, sample_lung, sample_scan
from napari_covseg.io.scans import format_of, note_in, read_labels, read_volume, write_labels

__all__ = [
    "format_of",
    "home",
    "note_in",
    "read_labels",
    "read_volume",
    "sample_lesion",
    "sample_lung",
    "sample_scan",
    "stem_of",
    "write_labels",
    "written",
]
