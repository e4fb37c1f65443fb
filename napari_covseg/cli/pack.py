"""``covseg pack``: annotated cases in one file that training reads fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_covseg.cli.console import followed, say
from napari_covseg.cli.verb import Answer, verb
from napari_covseg.io.sentences import count

if TYPE_CHECKING:
    from napari_covseg.io.packing import Pack


@verb("covseg pack --cases volumes/ slices/ --out cases.npz --max-mb 40")
def pack(
    cases: Annotated[
        list[Path], typer.Option("--cases", metavar="DIR", help="Folders of annotated cases, or other packs.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="The pack to write (.npz).")],
    max_mb: Annotated[
        float | None,
        typer.Option("--max-mb", metavar="N", min=0.001, help="Resample, then drop slices, until it is smaller."),
    ] = None,
) -> Answer:
    """Pack annotated cases into one file, which every --cases accepts in place of a folder.

    Grey values are kept in steps of 8 HU from -1000 to 1000. Case and patient names travel, folders do not.
    """
    from napari_covseg.io.cases import find_cases
    from napari_covseg.io.packing import packed
    from napari_covseg.io.packs import SUFFIX

    if out.suffix != SUFFIX:
        raise typer.BadParameter(f"a pack's name ends in {SUFFIX}, not as {out.name} does.", param_hint="'--out'")
    return _answer(followed(packed(find_cases(cases, say), out, max_mb), "Packing"))


def _answer(made: Pack) -> Answer:
    from napari_covseg.io.packing import size_in_mb

    values = {
        "pack": str(made.path),
        "cases": made.cases,
        "patients": made.patients,
        "bytes": made.bytes,
        "notes": list(made.notes),
    }
    patients = count(made.patients, "patient or set", "patients or sets")
    words = f"{made.path}: {count(made.cases, 'case')} of {patients}, {size_in_mb(made.bytes)}."
    return Answer(values, "\n".join([words, *made.notes]))
