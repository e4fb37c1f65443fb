"""Files of tensors: written whole or not at all, and what cannot be written or read told in a sentence."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from napari_covseg.io import written


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and settings.

    Raises
    ------
    OSError
        If they cannot be written, as on a full disk, which torch tells as it tells its own errors.
    """
    with written(path) as draft:
        try:
            torch.save(content, draft)
        except RuntimeError as error:
            raise OSError(f"{path} could not be written; free some space there.") from error


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return what `write_tensors` wrote.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except (RuntimeError, EOFError, LookupError, ValueError, UnpicklingError) as error:
        raise ValueError(f"{path.name} is damaged; start without --resume.") from error
    return content
