"""The memory that segmenting a scan takes: each network's in a process of its own, measured once and kept."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from baseline import SPEC as BASELINE

from napari_covseg.inference import Ensemble, Segmenter
from napari_covseg.io.cases import Case, read_case
from napari_covseg.io.files import written
from napari_covseg.jobs import drain
from napari_covseg.networks import checkpoint, registry


def kept_peaks(kept: Path) -> dict[str, Any]:
    """Return what was measured, by network: the scan, and the peak in MB.

    Raises
    ------
    SystemExit
        If the file is damaged.
    """
    try:
        peaks: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    except ValueError:
        raise SystemExit(f"{kept.name} is damaged; remove it, and memory is measured again.") from None
    return peaks


def keep_peak(kept: Path, network: str, found: Mapping[str, Any]) -> None:
    """Add a network's to what was measured."""
    peaks = {**kept_peaks(kept), network: found}
    with written(kept) as draft:
        draft.write_text(json.dumps(peaks, indent=1) + "\n", "utf-8")


def measured_peak(files: Sequence[Path], case: Case, device: str, threads: int) -> dict[str, Any]:
    """Read and segment a scan in a process of its own, and return its name and that process's peak in MB.

    Parameters
    ----------
    files
        A network's weights, or those of all that vote.
    case
        The scan; only what is annotated of it is segmented.
    device, threads
        Where.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as alone:
        return {"case": case.name, "peak_mb": alone.submit(_peak_mb, files, case, device, threads).result()}


def _peak_mb(files: Sequence[Path], case: Case, device: str, threads: int) -> float:
    registry.invite(BASELINE)
    torch.set_num_threads(threads)
    segmenters = [Segmenter(checkpoint.read(file), device) for file in files]
    asked = Ensemble(segmenters) if len(segmenters) > 1 else segmenters[0]
    scan, _, _ = read_case(case)
    drain(asked.segment(scan, case.indices(scan.geometry.shape[0])), lambda _: None)
    status = Path("/proc/self/status").read_text("ascii")  # resource.getrusage tells the parent's peak, if larger
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(peak_kib * 1024 / 1e6, 1)
