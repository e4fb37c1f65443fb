"""docs/gpu.md, from the figures of a run, or saying that there was none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gpu.md"
Row = dict[str, Any]

TITLE = "# On a GPU"

HOW = """\
## How to make this page

Where CUDA is, `make gpu`. It takes every network, in the paper's width and in the compact one, through a training of
a few steps, the segmentation of slices of the bundled synthetic sample and a short fine-tuning, each timed as it is
shipped and compared with the CPU. Without CUDA it says so and leaves this page alone.

On a lent machine that has torch but neither this package's other dependencies nor a package index: here,
`.ci/carry_gpu` (ten wheels, 10 MiB, to `.cache/carry`); there, in a copy of the work tree with `.cache/carry`,

    . .cache/carry/ready && python3 benchmarks/gpu.py --json $OUT/gpu.json --page $OUT/gpu.md

and copy `gpu.md` to `docs/`. *Training on a lent GPU* in CONTRIBUTING.md has the same in calls of ten minutes."""

NOTHING_YET = """\
**No GPU has been at hand for this program yet: nothing here has been measured on one.** That the networks compute the
same on a GPU as on a CPU is therefore not shown; what the tests show, they show on a CPU."""

NOTES = """\
Seconds are medians after a warm-up, with the device idle before and after. *Job* is what a reader waits for once the
scan is open, grey values and resampling included; *network* is the device's part. A *batch* is cut and augmented on
one CPU core before each step. A network of several stages is given as the sum of its stages. Memory is the largest
that PyTorch had allocated. *Share of peak* is the arithmetic of convolutions and matrix products (PyTorch's own
count) ÷ seconds ÷ the device's dense peak by its data sheet, for {dtype} when segmenting and bf16 when training.
*Differences* are against the CPU in fp32 on both (TF32 and bfloat16 off), same weights, same slices, same batches;
*as shipped* leaves them on."""


def nothing_yet() -> str:
    """Return the page of a house that has seen no GPU."""
    return f"{TITLE}\n\n{NOTHING_YET}\n\n{HOW}\n"


def page(report: dict[str, Any]) -> str:
    """Return the page of a run.

    Parameters
    ----------
    report
        What gpu.py writes as JSON.
    """
    rows = [row for row in report["rows"] if "error" not in row]
    made_on = f"{report['device']}, PyTorch {report['torch']}, CUDA {report['cuda'] or '–'}, {report['date']}."
    cases = f"Timed trainings on {', '.join(report['cases'])}." if report["cases"] else "Trained on the bundled sample."
    dry = ["*A dry run of the script on a CPU: its figures mean nothing.*"] if report["dry_run"] else []
    dtype = next((row["dtype"] for row in rows if row["part"] == "segment"), "tf32")
    parts = [
        TITLE,
        *dry,
        f"{made_on} Compared with the CPU beside it ({report['cpu_threads']} threads). {cases}",
        _verdict(report["rows"]),
        "## Segment\n\n" + _segment_table([row for row in rows if row["part"] == "segment"]),
        "## Train\n\n" + _steps_table([row for row in rows if row["part"] == "train"]),
        "## Fine-tune\n\n" + _steps_table([row for row in rows if row["part"] == "finetune"]),
        NOTES.format(dtype=dtype),
        HOW,
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(rows: list[Row]) -> str:
    """Say how many checks passed, and name those that did not."""
    checks = [(row, check) for row in rows for check in row.get("checks", ())]
    wrong = [
        f"- {_name(row)}, {row['part']}: {check['what']} {check['value']:.2g}, allowed "
        f"{'at least' if check['at_least'] else 'at most'} {check['limit']:g}"
        for row, check in checks
        if not check["ok"]
    ]
    wrong += [f"- {_name(row)}, {row['part']}: {row['error']}" for row in rows if "error" in row]
    passed = sum(check["ok"] for _, check in checks)
    return "\n".join(
        [f"**{passed} of {len(checks)} comparisons with the CPU passed.**", *([""] if wrong else []), *wrong]
    )


def _segment_table(rows: list[Row]) -> str:
    head = (
        "network",
        "job, s a slice",
        "network, ms",
        "of a",
        "GFLOP",
        "share of peak",
        "MiB",
        "largest difference",
        "mean",
        "same labels",
        "as shipped",
    )
    return _table(head, [_segment_cells(row) for row in rows])


def _segment_cells(row: Row) -> list[str]:
    return [
        _name(row),
        f"{row['seconds_per_slice']:.3f}",
        f"{row['seconds_per_pass'] * 1e3:.1f}",
        row["sees"],
        f"{row['gflop_per_pass']:.0f}",
        _share(row),
        _mib(row),
        f"{row['largest_difference']:.1e}",
        f"{_value(row, 'mean probability'):.1e}",
        f"{_value(row, 'labels'):.3%}",
        f"{_value(row, 'labels as shipped'):.3%}",
    ]


def _steps_table(rows: list[Row]) -> str:
    """Return the table of a training or of a fine-tuning, which also has seconds of the whole job and children."""
    taught = any("seconds" in row for row in rows)
    head = [
        "network",
        *(["job, s"] if taught else []),
        "stages",
        "step, ms",
        "batch, ms",
        "GFLOP a step",
        "share of peak",
        "MiB",
        "first loss differs",
        "later",
        "first, as shipped",
        *(["children's same labels"] if taught else []),
    ]
    return _table(head, [_steps_cells(row) for row in rows])


def _steps_cells(row: Row) -> list[str]:
    taught = "seconds" in row
    return [
        _name(row),
        *([f"{row['seconds']:.1f}"] if taught else []),
        str(row["stages"]),
        f"{row['seconds_per_step'] * 1e3:.0f}",
        f"{row['seconds_per_batch'] * 1e3:.0f}",
        f"{row['gflop_per_step']:.0f}",
        _share(row),
        _mib(row),
        *(_small(_value(row, what)) for what in ("first loss", "later losses", "first loss as shipped")),
        *([f"{_value(row, 'labels of the children'):.3%}"] if taught else []),
    ]


def _table(head: tuple[str, ...] | list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "Nothing was measured."
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _name(row: Row) -> str:
    return f"{row['network']}, {row['width']}"


def _value(row: Row, what: str) -> float | None:
    return next((check["value"] for check in row["checks"] if check["what"] == what), None)


def _small(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _share(row: Row) -> str:
    return "peak not known" if row["share_of_peak"] is None else f"{row['share_of_peak']:.1%}"


def _mib(row: Row) -> str:
    return "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
