"""What leaves the house."""

from napari_covseg.export.masks import export_nifti, mask_path

__all__ = ["export_nifti", "mask_path"]
