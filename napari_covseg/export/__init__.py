"""What leaves the house."""

from napari_covseg.export.masks import export_nifti

__all__ = ["export_nifti"]
