"""The bundled sample: a synthetic chest CT with its lesions and lungs."""

from __future__ import annotations

from pathlib import Path


def sample_scan() -> Path:
    """Return the file of the sample scan.

    Raises
    ------
    ValueError
        If this installation has no sample.
    """
    return _file("sample_ct.nii.gz")


def sample_lesion() -> Path:
    """Return the file of the sample's lesion label map; see `sample_scan`."""
    return _file("sample_lesion.nii.gz")


def sample_lung() -> Path:
    """Return the file of the sample's lung mask; see `sample_scan`."""
    return _file("sample_lung.nii.gz")


def _file(name: str) -> Path:
    """Look into the package, where a wheel puts the sample, and then beside it, as in the repository."""
    package = Path(__file__).parents[1]
    for folder in (package, package.parent):
        path = folder / "sample_data" / name
        if path.is_file():
            return path
    raise ValueError(f"{name} is not part of this installation; install napari-covseg again.")
