"""Corrected masks on the scan's own grid."""

from __future__ import annotations

import json
from pathlib import Path

from napari_covseg.io import write_labels, written
from napari_covseg.review import Signature
from napari_covseg.volume import Geometry, LabelMap, labels_on


def mask_path(case: str, folder: Path) -> Path:
    """Return where the mask of a case goes in a folder."""
    return folder / f"{case}_lesion.nii.gz"


def signature_path(mask: Path) -> Path:
    """Return where the signature of an exported mask goes."""
    return mask.with_name(f"{mask.name.removesuffix('.nii.gz')}.signature.json")


def emptiness(labels: LabelMap, mask: Path) -> str:
    """Return what is to be said of a mask in which nothing is marked; nothing of any other."""
    return "" if labels.values.any() else f"Nothing is marked in {mask.name}: it holds no lesion of any class."


def export_nifti(
    labels: LabelMap,
    home: Geometry,
    case: str,
    folder: Path,
    *,
    overwrite: bool = False,
    signature: Signature | None = None,
) -> Path:
    """Write labels as ``<case>_lesion.nii.gz`` on the scan's own grid, read back and compared.

    The signature of a signed session goes beside it as ``<case>_lesion.signature.json``, with the head of the session's
    log: a witness outside the house, which nobody who rewrites the session's folder can rewrite with it.

    Parameters
    ----------
    labels
        On any grid of the scan, such as the reading order.
    home
        The scan file's own grid.
    case
        Name of the case.
    folder
        Where to; made if missing.
    overwrite
        Replace a mask that is there already, which may be somebody's reference.
    signature
        Who signed these labels; None where nobody did.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If a file of that name is there and is not to be replaced.
    OSError
        If it cannot be written, or reads back otherwise.
    """
    path = mask_path(case, folder)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already and was kept; replace it on purpose, or choose another folder.")
    signature_path(path).unlink(missing_ok=True)  # it was of another mask
    write_labels(labels_on(labels, home), path)
    if signature is not None:
        with written(signature_path(path)) as draft:
            draft.write_text(json.dumps(signature.as_json(), indent=1), "utf-8")
    return path
