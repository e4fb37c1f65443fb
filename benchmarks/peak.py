"""The memory that segmenting a scan takes: in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from baseline import SPEC as BASELINE
from process_memory import status_kib

from napari_covseg.inference import Ensemble, Segmenter
from napari_covseg.io.cases import Case, read_case
from napari_covseg.jobs import drain
from napari_covseg.networks import checkpoint, registry


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
    return round(status_kib("VmHWM") * 1024 / 1e6, 1)
