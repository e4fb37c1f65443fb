"""Measure how the window feels: opening, scrolling beside a bare napari in the same run, and gaps while a network runs.

Needs a screen: ``.ci/with_display .venv/bin/python benchmarks/bench_window.py --json``. Sessions go to a folder that is
thrown away. ``gui_gap_*`` is taken while a network runs and the reader scrolls, the harder of the two; ``details``
has the same beside a reader who only looks, and scrolling without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

FULL, QUICK = (300, 512, 512), (40, 96, 96)
SPACING_MM = (1.0, 0.7, 0.7)
SIZE = (1280, 800)
ROUNDS, STEPS = 6, 40
TICK_MS, SCROLL_MS = 5, 200
SLICES_OF_STRIP = 1000

Figures = dict[str, Any]


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVSEG_HOME"] = str(Path(folder) / "home")
        report = _measured(Path(folder), QUICK if asked.quick else FULL, asked.quick)
    print(json.dumps(report, indent=None if asked.json else 2))


def _measured(folder: Path, shape: tuple[int, int, int], quick: bool) -> Figures:
    import napari

    load_before = os.getloadavg()
    path, lesions = _written_scan(folder, shape)
    viewer = napari.Viewer(title="CovSeg", show=True)
    viewer.window.resize(*SIZE)
    _live(0.5)
    open_panels_s = _seconds(lambda: _open_panels(viewer))
    desk = _desk(viewer)
    open_scan_s = _seconds(lambda: _open_scan(desk, path))
    _propose(desk, lesions)
    bare = _bare_viewer(desk)
    ours_ms, bare_ms = _scrolls(viewer, bare, 2 if quick else ROUNDS)
    bare.window._qt_window.hide()
    strip_ms = _strip(desk)
    open_views_s = _seconds(desk.furniture.ortho.toggle)
    desk.furniture.ortho.toggle()
    reading_ms = _gaps_of_reading(desk, 3 if quick else 15)
    looking_ms, gaps_ms, waking_ms, slices = _gaps(desk, 3 if quick else 15)
    bare.close()
    viewer.close()
    return {
        "open_panels_s": round(open_panels_s, 3),
        "scroll_p95_ms": _percentile(ours_ms, 95),
        "napari_bare_scroll_p95_ms": _percentile(bare_ms, 95),
        "scroll_ratio": round(_percentile(ours_ms, 95) / _percentile(bare_ms, 95), 3),
        "strip_p95_ms": _percentile(strip_ms, 95),
        "gui_gap_p99_ms": _percentile(gaps_ms, 99),
        "gui_gap_worst_ms": _percentile(gaps_ms, 100),
        "open_views_s": round(open_views_s, 3),
        "details": {
            "quick": quick,
            "shape": shape,
            "open_scan_s": round(open_scan_s, 3),
            "scroll_median_ms": _percentile(ours_ms, 50),
            "napari_bare_scroll_median_ms": _percentile(bare_ms, 50),
            "slices_segmented_while_gaps_were_measured": slices,
            "gaps": len(gaps_ms),
            "gui_gap_while_looking_p99_ms": _percentile(looking_ms, 99),
            "gui_gap_while_looking_worst_ms": _percentile(looking_ms, 100),
            "reading_alone_gap_p99_ms": _percentile(reading_ms, 99),
            "reading_alone_gap_worst_ms": _percentile(reading_ms, 100),
            "waking_gap_p99_ms": _percentile(waking_ms, 99),
            "waking_gap_worst_ms": _percentile(waking_ms, 100),
            "load_before": load_before,
            "load_after": os.getloadavg(),
        },
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, not an indented one")
    parser.add_argument("--quick", action="store_true", help="a small scan: a smoke test, not a measurement")
    return parser.parse_args()


def _written_scan(folder: Path, shape: tuple[int, int, int]) -> tuple[Path, np.ndarray]:
    """Write a noisy box of lung, and return its path and lesions in reading order."""
    import nibabel as nib

    depth, height, width = shape
    rng = np.random.default_rng(0)
    hu = np.full(shape, -850, dtype=np.int16)
    hu += rng.normal(0, 30, (1, height, width)).astype(np.int16)
    row, column = np.ogrid[:height, :width]
    lesions = np.zeros(shape, dtype=np.uint8)
    for index in range(depth // 5, 4 * depth // 5):
        place = ((row - height * 0.6) ** 2 + (column - width * 0.3) ** 2) / (height * 0.12) ** 2
        lesions[index][place < 1 + 0.3 * np.sin(index)] = 1
        lesions[index][place < 0.3] = 2
    hu[lesions > 0] = -400
    affine = np.diag([-SPACING_MM[2], -SPACING_MM[1], SPACING_MM[0], 1.0])
    nib.save(nib.Nifti1Image(np.ascontiguousarray(hu[::-1].transpose(2, 1, 0)), affine), folder / "bench_ct.nii")
    return folder / "bench_ct.nii", lesions


def _open_panels(viewer: Any) -> None:
    from napari_covseg.widgets.tabs import CovSegTabs

    viewer.window.add_dock_widget(CovSegTabs(viewer), name="CovSeg", area="right")
    _live(0)


def _desk(viewer: Any) -> Any:
    from napari_covseg.widgets.benches import desk_of

    return desk_of(viewer)


def _open_scan(desk: Any, path: Path) -> None:
    run = desk.bench.open(path)
    while not run.over:
        _live(0.01)
    _live(0)


def _propose(desk: Any, lesions: np.ndarray) -> None:
    for index in range(len(lesions)):
        desk.session.propose(index, lesions[index], "bench", "bench")
    _live(1.0)


def _bare_viewer(desk: Any) -> Any:
    """Return plain napari with the same three layers over the same arrays, in a window of the same size."""
    import napari

    layers = desk.link.layers
    bare = napari.Viewer(title="bare", show=True)
    bare.window.resize(*SIZE)
    scale = layers.scan.scale
    bare.add_image(layers.scan.data, scale=scale, contrast_limits=layers.scan.contrast_limits, colormap="gray")
    bare.add_labels(layers.lesions.data, scale=scale, opacity=0.25, colormap=layers.lesions.colormap)
    outlines = bare.add_labels(layers.lesions.data, scale=scale, colormap=layers.lesions.colormap)
    outlines.contour = layers.outlines.contour
    _live(1.0)
    return bare


def _scrolls(ours: Any, bare: Any, rounds: int) -> tuple[list[float], list[float]]:
    """Return milliseconds per step until the slice is drawn, in turns, so that both meet the same machine."""
    ours_ms: list[float] = []
    bare_ms: list[float] = []
    for number in range(rounds + 1):
        pairs = [(ours, ours_ms), (bare, bare_ms)]
        for viewer, found in pairs if number % 2 else reversed(pairs):
            steps = _scroll(viewer)
            if number:  # the first round warms up
                found.extend(steps)
    return ours_ms, bare_ms


def _scroll(viewer: Any) -> list[float]:
    drawn: list[bool] = []
    scene = viewer.window._qt_viewer.canvas._scene_canvas

    def note(_event: Any) -> None:
        drawn.append(True)

    scene.events.draw.connect(note)
    depth = int(viewer.dims.nsteps[0])
    first, found = depth // 4, []
    for step in range(STEPS):
        drawn.clear()
        found.append(1000 * _seconds(lambda step=step: _step(viewer, (first + step) % depth, drawn)))
    scene.events.draw.disconnect(note)
    return found


def _step(viewer: Any, index: int, drawn: list[bool]) -> None:
    from qtpy.QtWidgets import QApplication

    viewer.dims.set_current_step(0, index)
    deadline = time.perf_counter() + 2
    while not drawn and time.perf_counter() < deadline:
        QApplication.processEvents()
    QApplication.processEvents()


def _strip(desk: Any) -> list[float]:
    """Return milliseconds to paint the strip anew with a thousand slices, every one reviewed and unsure."""
    from napari_covseg.volume import LESIONS

    rng = np.random.default_rng(0)
    strip, tally, standing = desk.furniture.strip, desk.link.tally, desk.session._standing
    marks = standing.marks
    kind, depth = type(strip), type(strip).depth
    desk.link.tally = type("Tally", (), {"per_slice": {each.name: rng.random(SLICES_OF_STRIP) for each in LESIONS}})()
    standing.marks = dict.fromkeys(range(SLICES_OF_STRIP))
    kind.depth = property(lambda _: SLICES_OF_STRIP)
    strip.show_uncertainty(rng.random(SLICES_OF_STRIP))
    found = []
    for _ in range(100):
        strip._on_labels()
        found.append(1000 * _seconds(strip.grab))  # Qt may put a repaint off, and this not
    kind.depth, desk.link.tally, standing.marks = depth, tally, marks
    strip.show_uncertainty(None)
    strip._on_labels()
    return found


def _gaps_of_reading(desk: Any, seconds: float) -> list[float]:
    """Return milliseconds between turns of the window's own loop while the reader scrolls and nothing else runs."""
    with _ticking() as ticks, _scrolling(desk):
        _loop(seconds)
    return _between(ticks)


def _gaps(desk: Any, seconds: float) -> tuple[list[float], list[float], list[float], int]:
    """Return the same while a network segments: beside a reader who looks, beside one who scrolls, and at first.

    What each step of a scroll takes to draw is a gap too, whatever else runs; so the two are told apart. At first the
    network is woken: torch is imported, weights are read.
    """
    from napari_covseg.workbench import SegmentRequest

    request = SegmentRequest(desk.bench.choice.checkpoint, centre=desk.session.geometry.shape[0] // 2, device="cpu")
    run = desk.bench.segment(request)
    with _ticking() as waking:
        while not run.progress.done and not run.over:
            _loop(0.05)
    with _ticking() as looking:
        _loop(seconds)
    with _ticking() as scrolling, _scrolling(desk):
        _loop(seconds)
    done = run.progress.done
    run.cancel()
    while not run.over:
        _live(0.05)
    return _between(looking), _between(scrolling), _between(waking), done


@contextmanager
def _ticking() -> Iterator[list[float]]:
    """Note the time at every turn of the window's loop."""
    ticks: list[float] = []
    with _timer(TICK_MS, lambda: ticks.append(time.perf_counter())):
        yield ticks


def _scrolling(desk: Any) -> AbstractContextManager[None]:
    """Scroll on, as a reader does."""
    return _timer(SCROLL_MS, lambda: _go_on(desk))


@contextmanager
def _timer(milliseconds: int, action: Callable[[], object]) -> Iterator[None]:
    from qtpy.QtCore import QTimer

    timer = QTimer()
    timer.setInterval(milliseconds)
    timer.timeout.connect(action)
    timer.start()
    yield
    timer.stop()


def _between(ticks: list[float]) -> list[float]:
    return (1000 * np.diff(ticks)).tolist()


def _go_on(desk: Any) -> None:
    dims = desk.viewer.dims
    dims.set_current_step(0, (dims.current_step[0] + 1) % int(dims.nsteps[0]))


def _loop(seconds: float) -> None:
    """Let Qt's own loop run, as it does in use."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def _live(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    until = time.perf_counter() + seconds
    while True:
        QApplication.processEvents()
        if time.perf_counter() >= until:
            return
        time.sleep(0.005)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _percentile(found: list[float], percent: float) -> float:
    return round(float(np.percentile(found, percent)), 2)


if __name__ == "__main__":
    main()
