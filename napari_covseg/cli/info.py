"""``covseg info``: what a file or folder holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import table
from napari_covseg.cli.options import SeriesWanted, SpacingStated, Straighten, WindowStated, parsed_stated
from napari_covseg.cli.verb import Answer, gave_up, verb

if TYPE_CHECKING:
    from napari_covseg.io import SeriesSummary, Stated
    from napari_covseg.volume import Volume

_NOTHING: dict[str, Any] = {"shape": None, "spacing_mm": None, "orientation": None, "hu_range": None, "warnings": []}


@verb("covseg info scan.nii.gz")
def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", readable=False, help="A scan file, or a DICOM folder, zipped or not.")
    ],
    series: SeriesWanted = None,
    spacing: SpacingStated = None,
    window: WindowStated = None,
    straighten: Straighten = False,
) -> Answer:
    """Say what a scan is: its grid, its Hounsfield units, its DICOM series, and what is odd about it.

    The exit code is 1 where it would not open as a scan; the warning says why.
    """
    from napari_covseg.io import format_of

    stated = parsed_stated(series, spacing, window, straighten)
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the name.")
    kind = format_of(path)
    values: dict[str, Any] = {"path": str(path), "format": kind, **_NOTHING, "series": []}
    if kind == "DICOM":
        from napari_covseg.io.dicom import describe_series

        values["series"] = _numbered(describe_series(path))
    return _opened(path, stated, values)


def _opened(path: Path, stated: Stated, values: dict[str, Any]) -> Answer:
    """Return the answer on a scan; where it does not open, what there is to say of it all the same."""
    from napari_covseg.io import read_volume

    try:
        values |= _described(read_volume(path, stated))
        return Answer(values, _shown(values))
    except (ValueError, OSError) as error:
        sentence = gave_up(error)
        values |= {"warnings": [sentence], "error": sentence}
        return Answer(values, _shown(values) if values["series"] else "", done=False)


def _numbered(series: list[SeriesSummary]) -> list[dict[str, Any]]:
    return [{"number": number, **asdict(summary)} for number, summary in enumerate(series, start=1)]


def _described(scan: Volume) -> dict[str, Any]:
    from napari_covseg.measure.plausibility import doubts, hu_range

    return {
        "shape": list(scan.geometry.shape),
        "spacing_mm": [round(mm, 4) for mm in scan.geometry.spacing_mm],
        "orientation": scan.geometry.orientation,
        "hu_range": list(hu_range(scan)),
        "warnings": list(doubts(scan)),
    }


def _shown(values: dict[str, Any]) -> Any:
    shown = table("", values["path"])
    shown.add_row("format", values["format"])
    if values["shape"] is not None:
        low, high = values["hu_range"]
        shown.add_row("voxels", " × ".join(str(n) for n in values["shape"]))
        shown.add_row("spacing", " × ".join(f"{mm:g}" for mm in values["spacing_mm"]) + " mm")
        shown.add_row("axes run to", " ".join(values["orientation"]))
        shown.add_row("values", f"{low:g} … {high:g} HU")
    for each in values["series"]:
        words = [each["modality"], f"{each['slices']} slices", each["description"]]
        shown.add_row(f"series {each['number']}", ", ".join(word for word in words if word))
    for sentence in values["warnings"]:
        shown.add_row("warning", sentence)
    return shown
