"""Measure the zoo's dear blocks against what one would use instead, side by side, and print JSON.

Each figure is a median over interleaved repeats, on the same number of threads. An attention is measured in a process
of its own, so that peaks of memory do not mix; reformer-pytorch also lives in a Python of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from math import ceil, sqrt
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from process_memory import status_kib

HEADS, HEAD_WIDTH, BUCKET, N_HASHES, CHANNELS = 4, 16, 64, 4, 128
PEER_VENV = Path(__file__).resolve().parents[1] / ".cache" / "peer-venv"
PEER_PACKAGES = ("torch==2.13.0", "reformer-pytorch==1.4.4")
WARM_UP_SIDE = 32
BATCH_ON = {"cpu": 4, "cuda": 64}

Figures = dict[str, Any]


def main() -> None:
    """Measure what the command line asks for."""
    args = _arguments()
    if args.child:
        print(json.dumps(_attention_once(args.child, args.side, args.threads)))
        return
    repeats = 1 if args.quick else args.repeats
    sides = (32, 64) if args.quick else (64, 128, 256)
    load_before = os.getloadavg()
    peer = None if args.no_peer else args.peer_python or _peer_python()
    attention = {str(side): _attentions(side, repeats, peer, args.threads) for side in sides}
    structure = _structure_texture(128 if args.quick else 512, repeats)
    batched = _structure_texture_batched(128 if args.quick else 512, repeats, args.threads)
    pooling = _hybrid_pool(64 if args.quick else 256, repeats, args.threads)
    equalisation = _equalisation(128 if args.quick else 512, repeats)
    largest = attention[str(sides[-1])]
    report = {
        "lsh_256_speedup": largest.get("speedup"),
        "lsh_256_memory_ratio": largest.get("memory_ratio"),
        "structure_texture_512_s": structure["seconds"],
        "structure_texture_vs_numpy": structure["speedup"],
        "structure_texture_batched_s_per_slice": batched["seconds_per_slice"],
        "hybrid_pool_ratio": pooling["ratio"],
        "details": {
            "quick": args.quick,
            "threads": args.threads,
            "repeats": repeats,
            "load_before": load_before,
            "load_after": os.getloadavg(),
            "attention": attention,
            "structure_texture": structure,
            "structure_texture_batched": batched,
            "hybrid_pool": pooling,
            "equalisation": equalisation,
        },
    }
    print(json.dumps(report, indent=None if args.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, not an indented one")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat: a smoke test, not a measurement")
    parser.add_argument("--no-peer", action="store_true", help="leave reformer-pytorch out; its keys are null")
    parser.add_argument("--peer-python", help="a Python that has torch and reformer-pytorch 1.4.4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", choices=("ours", "sdpa", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _peer_python() -> str:
    python = PEER_VENV / "bin" / "python"
    if not (PEER_VENV / "ready").exists():
        venv.create(PEER_VENV, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True, stdout=sys.stderr)
        (PEER_VENV / "ready").touch()
    return str(python)


def _interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each call, taken in turns after one call of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = perf_counter()
            call()
            seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def _attentions(side: int, repeats: int, peer: str | None, threads: int) -> Figures:
    pythons = {"ours": sys.executable, "sdpa": sys.executable} | ({"peer": peer} if peer else {})
    runs: dict[str, list[Figures]] = {name: [] for name in pythons}
    for turn in range(repeats):
        for name, python in pythons.items():
            if name == "sdpa" and side >= 256 and turn:
                continue  # 20 s each
            child = [python, "-W", "ignore", __file__, "--child", name, "--side", str(side), "--threads", str(threads)]
            done = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True)
            runs[name].append(json.loads(done.stdout))
    figures: Figures = {
        name: {key: median(run[key] for run in taken) for key in ("seconds", "peak_mib")}
        | {"every_second": [run["seconds"] for run in taken]}
        for name, taken in runs.items()
    }
    figures["speedup_over_sdpa"] = figures["sdpa"]["seconds"] / figures["ours"]["seconds"]
    if peer:
        figures["speedup"] = figures["peer"]["seconds"] / figures["ours"]["seconds"]
        figures["memory_ratio"] = figures["ours"]["peak_mib"] / figures["peer"]["peak_mib"]
    return figures


def _attention_once(which: str, side: int, threads: int) -> Figures:
    """Return seconds and growth of the resident peak of one forward pass over side² tokens, this process's first."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    call = {"ours": _our_attention, "sdpa": _exact_attention, "peer": _peer_attention}[which]()
    warm_up, tokens = (torch.randn(1, length**2, CHANNELS) for length in (WARM_UP_SIDE, side))
    with torch.inference_mode():
        call(warm_up)
        before_kib, start = status_kib("VmRSS"), perf_counter()
        call(tokens)
        seconds = perf_counter() - start
    return {"seconds": seconds, "peak_mib": max(status_kib("VmHWM") - before_kib, 1) / 1024}


def _our_attention() -> Callable[[Any], object]:
    from napari_covseg.networks.zoo.res_att_unet import LSHAttention

    layer = LSHAttention(CHANNELS, HEADS, HEAD_WIDTH, BUCKET, N_HASHES, full_attention_below=0).eval()

    def attend(tokens_NLC: Any) -> object:
        side = round(sqrt(tokens_NLC.shape[1]))
        return layer(tokens_NLC.transpose(1, 2).unflatten(2, (side, side)))

    return attend


def _peer_attention() -> Callable[[Any], object]:
    from reformer_pytorch import LSHSelfAttention

    layer: Callable[[Any], object] = LSHSelfAttention(
        CHANNELS, heads=HEADS, dim_head=HEAD_WIDTH, bucket_size=BUCKET, n_hashes=N_HASHES, causal=False
    ).eval()
    return layer


def _exact_attention() -> Callable[[Any], object]:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    project_in, project_out = (torch.nn.Linear(CHANNELS, 3 * HEADS * HEAD_WIDTH), torch.nn.Linear(64, CHANNELS))

    def attend(tokens_NLC: Any) -> object:
        q, k, v = project_in(tokens_NLC).unflatten(2, (3, HEADS, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        return project_out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    return attend


def _grey_slice(side: int) -> Any:
    """Return something like a lung: smooth organs and fine noise, 0…1."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.random((side, side)), side / 16)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.clip(smooth + 0.05 * rng.standard_normal((side, side)), 0, 1).astype(np.float32)


def _volume(grey: Any) -> Any:
    import numpy as np

    from napari_covseg.volume import Geometry, Volume

    return Volume(grey[None], Geometry((1, *grey.shape), np.eye(4)), "bench")


def _structure_texture(side: int, repeats: int) -> Figures:
    """Both parts of one slice; T = I − S costs one subtraction more than S, so it is not filtered for twice."""
    import numpy as np

    from napari_covseg.preprocess import Structure

    grey = _grey_slice(side)
    volume, step = _volume(grey), Structure()
    kept, plain = step(volume).hu[0], plain_structure(grey)
    seconds = _interleaved(
        {"ours": lambda: volume.hu - step(volume).hu, "numpy": lambda: grey - plain_structure(grey)}, repeats
    )
    return {
        "side": side,
        "seconds": seconds["ours"],
        "numpy_seconds": seconds["numpy"],
        "speedup": seconds["numpy"] / seconds["ours"],
        "mean_difference": float(np.abs(kept - plain).mean()),
    }


def _structure_texture_batched(side: int, repeats: int, threads: int) -> Figures:
    """Both parts of a batch of slices on the GPU, or on the CPU for want of one, and how far they are from the step."""
    import torch

    from napari_covseg.inference.decomposition import structure_of
    from napari_covseg.preprocess import Structure

    torch.set_num_threads(threads)
    cuda, step = torch.cuda.is_available(), Structure()
    slices, grey = BATCH_ON["cuda" if cuda else "cpu"], torch.from_numpy(_grey_slice(side))
    grey_NHW = grey.expand(slices, -1, -1).to("cuda" if cuda else "cpu")

    def both_parts() -> Any:
        texture_NHW = grey_NHW - structure_of(grey_NHW, step.sigma, step.eps)
        return texture_NHW[:, :1, :1].sum().item()  # a GPU is waited for

    with torch.inference_mode():
        seconds = _interleaved({"batch": both_parts}, repeats)["batch"]
        kept = structure_of(grey_NHW[:1], step.sigma, step.eps)[0].cpu().numpy()
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "side": side,
        "slices": slices,
        "seconds_per_slice": seconds / slices,
        "largest_difference": float(abs(kept - step(_volume(grey.numpy())).hu[0]).max()),
    }


def plain_structure(grey: Any, sigma: float = 3.0, eps: float = 0.03**2) -> Any:
    """Return the structure straight from the equations (specs/two_stream_segnet.md, steps 1–4), whole rows at once."""
    import numpy as np

    image = result = grey.astype(np.float64)
    radii = [round(3 * sqrt(3) * sigma * 2 ** (3 - i - 1) / sqrt(4**3 - 1)) for i in range(3)]
    before = None
    for _ in range(8):
        guides = _plain_guide(result, sigma), _plain_guide(result.T, sigma)
        if before and min(((n[1] - b[1]) ** 2).mean() for n, b in zip(guides, before, strict=True)) <= 0.002:
            break
        before, result = guides, image
        for radius in radii:
            for guide in guides:
                result = _plain_fit(result, *guide, radius, eps).T
        result = np.clip(result, 0, 1)
    return result


def _plain_guide(lines: Any, sigma: float) -> Any:
    """Rescale the gradients (eqs. 1 and 2) and add them up again."""
    import numpy as np

    reach, length = ceil(3 * sigma), lines.shape[1]
    kernel = np.exp(-(np.arange(reach) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(lines, ((0, 0), (reach, reach + 1)), mode="edge")
    gradient = np.diff(padded, axis=1)[:, reach : reach + length]
    interval = np.zeros_like(lines)
    for x, weight in enumerate(kernel):
        interval += weight * (padded[:, reach + 1 + x :][:, :length] - padded[:, reach - x :][:, :length])
    weight = np.minimum(1, (np.abs(interval) + 1e-4) / (np.abs(gradient) + 1e-4))
    rescaled = np.where(np.sign(gradient) == np.sign(interval), weight * gradient, 0)
    return np.cumsum(np.concatenate([lines[:, :1], rescaled[:, :-1]], axis=1), axis=1), weight


def _plain_fit(lines: Any, guide: Any, weight: Any, radius: int, eps: float) -> Any:
    """Fit each pixel's window as a linear function of its guide (step 3)."""
    import numpy as np

    def box(values: Any) -> Any:
        padded = np.pad(values, ((0, 0), (radius + 1, radius)), mode="edge")
        sums = np.cumsum(padded, axis=1)
        return (sums[:, 2 * radius + 1 :] - sums[:, : -2 * radius - 1]) / (2 * radius + 1)

    mean_guide, mean = box(guide), box(lines)
    slope = np.maximum(box(guide * lines) - mean_guide * mean, 0)
    slope /= np.maximum(box(guide**2) - mean_guide**2, 0) + eps * weight**2
    return box(slope) * guide + box(mean - slope * mean_guide)


def _hybrid_pool(side: int, repeats: int, threads: int) -> Figures:
    """Hybrid pooling of CHS-Net's first level, and max pooling of the same map."""
    import torch
    from torch.nn.functional import max_pool2d

    from napari_covseg.networks.zoo.chs_net import HybridPool

    torch.set_num_threads(threads)
    x_NCHW, pool = torch.randn(1, 32, side, side), HybridPool(32, 32, "valid").eval()
    with torch.inference_mode():
        seconds = _interleaved({"hybrid": lambda: pool(x_NCHW), "max": lambda: max_pool2d(x_NCHW, 2)}, 5 * repeats)
    return {"side": side, **seconds, "ratio": seconds["hybrid"] / seconds["max"]}


def _equalisation(side: int, repeats: int) -> Figures:
    from skimage.exposure import equalize_hist

    from napari_covseg.preprocess.equalise import Equalise

    grey = _grey_slice(side)
    volume, step = _volume(grey), Equalise()
    seconds = _interleaved({"ours": lambda: step(volume), "skimage": lambda: equalize_hist(grey)}, 5 * repeats)
    return {"side": side, **seconds, "speedup": seconds["skimage"] / seconds["ours"]}


if __name__ == "__main__":
    main()
