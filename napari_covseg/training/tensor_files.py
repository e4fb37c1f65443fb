"""Files of tensors: written whole or not at all, and what cannot be written or read told in a sentence."""

from __future__ import annotations

from errno import EINVAL
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from napari_covseg.io import written
from napari_covseg.jobs import LeftError


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and settings; the folder must be there.

    Raises
    ------
    OSError
        If they cannot be written, as on a full disk, which torch tells as it tells its own errors.
    """
    with written(path, makes_folder=False) as draft:
        draft.touch()  # what the system refuses it says itself; torch would tell it as it tells a full disk
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
    damaged = f"{path.name} is damaged; start anew."
    try:
        with ZipFile(path) as parts:
            if parts.testzip() is not None:  # torch does not compare the sums that it writes
                raise LeftError(damaged)
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except (RuntimeError, EOFError, LookupError, ValueError, AttributeError, TypeError, NotImplementedError) as error:
        raise LeftError(damaged) from error
    except (UnpicklingError, BadZipFile) as error:
        raise LeftError(damaged) from error
    except OSError as error:
        if error.errno != EINVAL:  # of a place in the file that is none
            raise
        raise LeftError(damaged) from error
    if not isinstance(content, dict) or "config" not in content:
        raise LeftError(damaged)
    return content
