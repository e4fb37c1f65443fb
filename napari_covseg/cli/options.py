"""Options that several verbs share, and how they are read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def known_network(key: str) -> str:
    """Return the key of a network that there is, or refuse it as wrong use."""
    from napari_covseg.networks import available

    if key not in available():
        raise typer.BadParameter(f"there is no network {key!r}; there are {', '.join(available())}.")
    return key


Network = Annotated[
    str,
    typer.Option("--network", metavar="KEY", callback=known_network, help="The network; 'covseg networks' lists them."),
]
CheckpointName = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="NAME|FILE",
        help="Its trained weights, by name or file; those that come with the program without.",
    ),
]
OnDevice = Annotated[Device, typer.Option("--device", help="Where to compute.")]
CheckpointFile = Annotated[
    Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="The checkpoint to write (.safetensors).")
]
OutFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Folder to write into; made if missing.")
]


def parsed_slices(text: str | None) -> range | None:
    """Return the indices from the apex that ``A:B`` means (from 1, B included); None for all slices.

    Raises
    ------
    typer.BadParameter
        If it is not two numbers, the smaller first.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise typer.BadParameter(
            f"{text!r} is not a range of slices; write 12:30 for slices 12 to 30, counted from 1 at the apex.",
            param_hint="'--slices'",
        )
    return range(int(first) - 1, int(last))
