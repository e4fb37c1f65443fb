"""The only room that knows file formats."""

from napari_covseg.io.files import home, stem_of, written
from napari_covseg.io.scans import read_labels, read_volume, write_labels

__all__ = ["home", "read_labels", "read_volume", "stem_of", "write_labels", "written"]
