"""What leaves the house."""

from napari_covseg.export.masks import emptiness, export_nifti, mask_path

__all__ = ["emptiness", "export_nifti", "mask_path"]
