"""``python -m napari_covseg.widgets``: napari with CovSeg beside it, and a scan open where one is named."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

import napari
from napari.viewer import Viewer

from napari_covseg.io import home
from napari_covseg.networks import available, lineage
from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.demo import Demo
from napari_covseg.widgets.reading_room import opened_room
from napari_covseg.widgets.tabs import CovSegTabs


def main(arguments: list[str] | None = None) -> int:
    """Open the window, do what was asked, and return the exit code."""
    asked = _parser().parse_args(arguments)
    out = asked.out.resolve()
    viewer, tabs = opened_room(_fresh_folder(out) if asked.demo else None, asked.reader)
    desk = desk_of(viewer)
    if asked.network:
        desk.bench.choice.take(asked.network)
    if asked.scan:
        desk.attempt(lambda: desk.bench.open(asked.scan))
    code = _demonstrate(viewer, tabs, out) if asked.demo else 0
    if asked.close:
        viewer.close()
    else:
        napari.run()
    return code


def _demonstrate(viewer: Viewer, tabs: CovSegTabs, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    bench = desk_of(viewer).bench
    if bench.choice.checkpoint is None and (own := lineage.first(bench.choice.network, home())):
        bench.choice.take(bench.choice.network, own)
    try:
        written = Demo(viewer, tabs, out).carry_out()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - this module is a program
        return 1
    for path in written:
        print(path)  # noqa: T201 - this module is a program
    return 0


def _fresh_folder(out: Path) -> Path:
    """Return a folder that no earlier demo has used: a session goes on where it was, and a demo begins anew."""
    return out / "session" / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{secrets.token_hex(2)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m napari_covseg.widgets", description=__doc__)
    parser.add_argument("scan", nargs="?", type=Path, metavar="SCAN", help="a NIfTI file or a DICOM folder")
    parser.add_argument("--network", choices=available(), metavar="KEY", help="the network to have chosen")
    parser.add_argument("--reader", default="", metavar="NAME", help="who reads; who typed her name last without")
    parser.add_argument("--demo", action="store_true", help="do the main job on the bundled sample")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), metavar="DIR", help="where the demo writes")
    parser.add_argument("--close", action="store_true", help="close the window when the job is done")
    return parser


if __name__ == "__main__":
    sys.exit(main())
