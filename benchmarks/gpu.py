"""Every network through segment, train and fine-tune on a CUDA device, checked against the CPU and timed: docs/gpu.md.

    python benchmarks/gpu.py --json gpu.json               # where CUDA is; minutes
    python benchmarks/gpu.py --device cpu --networks chs_net --widths compact   # a dry run of the script itself

Without CUDA it says so and does nothing. Ends with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from gpu_cases import TINY, Bench, Sizes, tiny_cases
from gpu_page import PAGE, nothing_yet, page
from gpu_parts import Row, finetune_part, segment_part, train_part

from napari_covseg.io.cases import find_cases
from napari_covseg.networks import available, load
from napari_covseg.networks.spec import Width

WIDTHS: tuple[Width, ...] = ("paper", "compact")


def main() -> int:
    """Measure what the command line asks for; return 1 if a check failed."""
    args = _arguments()
    if args.device == "cuda" and not torch.cuda.is_available():
        print(f"There is no CUDA device here, so nothing was measured; {_kept(args.page)}")
        return 0
    report = _header(args)
    earlier = _rows_of(args.json, report) if args.add else []
    with tempfile.TemporaryDirectory() as folder:
        for rows in _measured(args, Path(folder)):
            report["rows"] = [row for row in earlier if not _repeated(row, rows)] + rows
            report["ok"] = all(not _failures(row) for row in report["rows"])
            if args.json and args.json != Path("-"):
                args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
            if args.device == "cuda":
                args.page.write_text(page(report), "utf-8")
    if args.json == Path("-"):
        print(json.dumps(report))
    elif args.device == "cpu":
        print(page(report))
    return 0 if report["ok"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a tiny dry run of the script")
    parser.add_argument("--networks", type=_listed, default=available(), help="keys, with commas between")
    parser.add_argument("--widths", type=_listed, default=WIDTHS, help="paper, compact or both")
    parser.add_argument("--cases", type=Path, action="append", help="train the timed steps on this pack or folder")
    parser.add_argument("--json", type=Path, nargs="?", const=Path("-"), help="also write JSON, to this file or stdout")
    parser.add_argument(
        "--add", action="store_true", help="keep what an earlier run on such a device left in the --json file"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes, if there is CUDA")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="of the run, for the page")
    args = parser.parse_args()
    unknown = {*args.networks} - {*available()} | {*args.widths} - {*WIDTHS}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; networks are {', '.join(available())}")
    return args


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _kept(path: Path) -> str:
    """Leave a page alone; write that there is nothing yet where there is none."""
    if path.exists():
        return f"{path.name} stays as it is."
    path.write_text(nothing_yet(), "utf-8")
    return f"{path.name} says so."


def _header(args: argparse.Namespace) -> dict[str, Any]:
    cuda = args.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cpu_threads": torch.get_num_threads(),
        "date": args.date,
        "cases": [path.name for path in args.cases or ()],
        "dry_run": not cuda,
        "ok": True,
        "rows": [],
    }


def _measured(args: argparse.Namespace, folder: Path) -> Iterator[list[Row]]:
    """Yield all rows so far after every network."""
    sizes = TINY if args.device == "cpu" else Sizes()
    tiny, rows = tiny_cases(folder), list[Row]()
    cases = find_cases(args.cases) if args.cases else tiny
    device = torch.device(args.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    for network in args.networks:
        for width in args.widths:
            started = time.perf_counter()
            rows += _parts(Bench(load(network), width, device, name, sizes, tiny, cases, folder))
            print(f"{network} {width}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            yield rows


def _parts(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    try:
        row, kept = train_part(bench)
        rows.append(row)
        rows.append(segment_part(bench, kept))
        rows.append(finetune_part(bench, kept))
    except Exception as error:  # noqa: BLE001 - one network's failure must not cost the others their turn on a lent device
        part = ("train", "segment", "finetune")[len(rows)]
        failed = {"network": bench.spec.key, "width": bench.width, "part": part}
        rows.append({**failed, "error": f"{type(error).__name__}: {error}".splitlines()[0]})
    return rows


def _rows_of(path: Path | None, header: dict[str, Any]) -> list[Row]:
    """Return what an earlier run on a device of this name left; figures of two devices are never mixed."""
    if path is None or not path.is_file():
        return []
    report = json.loads(path.read_text("utf-8"))
    rows: list[Row] = report["rows"]
    return rows if report["device"] == header["device"] else []


def _repeated(row: Row, rows: list[Row]) -> bool:
    return any((row["network"], row["width"]) == (other["network"], other["width"]) for other in rows)


def _failures(row: Row) -> list[Any]:
    return [row["error"]] if "error" in row else [check for check in row["checks"] if not check["ok"]]


if __name__ == "__main__":
    sys.exit(main())
