"""Whether weights are still those that were saved: one damaged bit draws masks that look right.

A fingerprint of the tensors stands in the header of every checkpoint that is written here; of those that came with the
package a list beside them has the fingerprints of the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LIST = "SHA256SUMS"
"""As ``sha256sum`` writes and checks it."""


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the fingerprint of tensors: their names, types, shapes and bits."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def listed_sha256(path: Path) -> str:
    """Return what the list beside a file says of it; empty where there is no list, or it is not on it."""
    try:
        lines = path.with_name(LIST).read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}.get(path.name, "")


def write_list(folder: Path, pattern: str) -> None:
    """Write the list of a folder's files."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.glob(pattern))]
    (folder / LIST).write_text("".join(f"{line}\n" for line in lines), "ascii")
