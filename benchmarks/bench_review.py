"""Measure what a reader's hand feels: the brush, fills and interpolation beside napari's, the journal, and gaps.

Needs a screen: ``.ci/with_display .venv/bin/python benchmarks/bench_review.py --json``. Sessions go to a folder that is
thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_window import FULL, QUICK, _desk, _live, _loop, _open_panels, _open_scan, _percentile, _propose, _seconds
from bench_window import _written_scan as written_scan

CORRECTIONS, FEW_CORRECTIONS = 10_000, 300
STROKES, MOVES = 30, 20
GAP_SLICES = 20
FILLS = 5
BRUSH_MM = 10.0
TICK_MS = 5

Figures = dict[str, Any]


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVSEG_HOME"] = str(Path(folder) / "home")
        report = _measured(Path(folder), QUICK if asked.quick else FULL, asked.quick)
    print(json.dumps(report, indent=None if asked.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, not an indented one")
    parser.add_argument("--quick", action="store_true", help="a small scan: a smoke test, not a measurement")
    return parser.parse_args()


def _measured(folder: Path, shape: tuple[int, int, int], quick: bool) -> Figures:
    import napari

    load_before = os.getloadavg()
    path, lesions = written_scan(folder, shape)
    viewer = napari.Viewer(title="CovSeg", show=True)
    viewer.window.resize(1280, 800)
    _live(0.5)
    _open_panels(viewer)
    desk = _desk(viewer)
    _open_scan(desk, path)
    _propose(desk, lesions)
    brush, plain = _brushes(desk, 3 if quick else STROKES)
    fills = _fills(desk, lesions)
    gaps_ms, strokes, slices = _gaps(desk, 3 if quick else 20)
    scan = desk.bench.current.scan
    viewer.close()
    journal = _journal(folder / "session", scan, FEW_CORRECTIONS if quick else CORRECTIONS)
    return {
        "brush_p95_ms": _percentile(brush["handled"], 95),
        **fills,
        "journal_p95_ms": _percentile(journal.pop("journal_ms"), 95),
        "reopen_s": journal.pop("reopen_s"),
        "gui_gap_p99_ms": _percentile(gaps_ms, 99),
        "session_mb": journal.pop("session_mb"),
        "details": {
            "quick": quick,
            "shape": shape,
            "brush_drawn_p95_ms": _percentile(brush["drawn"], 95),
            "napari_brush_p95_ms": _percentile(plain["handled"], 95),
            "napari_brush_drawn_p95_ms": _percentile(plain["drawn"], 95),
            "gui_gap_worst_ms": _percentile(gaps_ms, 100),
            "gaps": len(gaps_ms),
            "strokes_painted_while_gaps_were_measured": strokes,
            "slices_segmented_while_gaps_were_measured": slices,
            **journal,
            "load_before": load_before,
            "load_after": os.getloadavg(),
        },
    }


def _brushes(desk: Any, strokes: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return milliseconds per move of the mouse with our HU brush and with napari's own, stroke by stroke in turns."""
    lesions, depth = desk.link.layers.lesions, desk.session.geometry.shape[0]
    desk.viewer.dims.set_current_step(0, depth // 2)
    desk.viewer.layers.selection.active = lesions
    lesions.mode, lesions.selected_label = "paint", 1
    lesions.brush_size = round(BRUSH_MM / lesions.scale[2])
    found: list[dict[str, list[float]]] = [{"handled": [], "drawn": []} for _ in range(2)]
    for number in range(-1, strokes):
        for by_hu, figures in zip((True, False), found, strict=True):
            desk.tools.change(by_hu=by_hu)
            lesions.selected_label = 1 + (number + by_hu) % 2
            handled, drawn = _stroke(desk, number)
            if number >= 0:  # the first warms up
                figures["handled"].extend(handled)
                figures["drawn"].extend(drawn)
    desk.tools.change(by_hu=False)
    lesions.mode = "pan_zoom"
    return found[0], found[1]


def _stroke(desk: Any, number: int) -> tuple[list[float], list[float]]:
    """Draw across the picture with real mouse events; return milliseconds until voxels are there, and until drawn."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtWidgets import QApplication

    canvas = desk.viewer.window._qt_viewer.canvas
    rect, drawn = canvas.native.rect(), []
    canvas._scene_canvas.events.draw.connect(drawn.append)
    y = rect.height() * (0.3 + 0.4 * ((7 * number) % 10) / 10)
    places = [QPointF(x, y) for x in np.linspace(0.3, 0.7, MOVES) * rect.width()]
    _send(canvas.native, QEvent.Type.MouseMove, places[0], pressed=False)
    _send(canvas.native, QEvent.Type.MouseButtonPress, places[0])
    handled_ms, drawn_ms = [], []
    for place in places[1:]:
        drawn.clear()
        started = time.perf_counter()
        _send(canvas.native, QEvent.Type.MouseMove, place)
        handled_ms.append(1000 * (time.perf_counter() - started))
        while not drawn and time.perf_counter() - started < 1:
            QApplication.processEvents()
        drawn_ms.append(1000 * (time.perf_counter() - started))
    _send(canvas.native, QEvent.Type.MouseButtonRelease, places[-1], pressed=False)
    canvas._scene_canvas.events.draw.disconnect(drawn.append)
    _live(0.3)
    return handled_ms, drawn_ms


def _send(native: Any, kind: Any, place: Any, *, pressed: bool = True) -> None:
    from qtpy.QtCore import QEvent, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind == QEvent.Type.MouseMove else left
    around = QMouseEvent(
        kind, place, native.mapToGlobal(place), button, left if pressed else none, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(native, around)


def _fills(desk: Any, lesions: np.ndarray) -> Figures:
    """Return seconds for a 3-D fill of one lesion by us, journal and picture included, and by bare napari in turns."""
    import napari

    from napari_covseg.review import interpolate

    depth = len(lesions)
    desk.session.absorb(lesions, "bench", "the proposal again")
    _live(0.5)
    values = desk.session.labels.values
    place = tuple(int(each) for each in np.argwhere(values == 1)[np.count_nonzero(values == 1) // 2])
    bare = napari.Viewer(title="bare", show=True)
    layer = bare.add_labels(lesions.copy(), scale=desk.link.layers.lesions.scale)
    bare.dims.set_current_step(0, place[0])
    layer.n_edit_dimensions = 3
    _live(0.5)
    ours_s, theirs_s = [], []
    for number in range(-1, FILLS):
        pair = _seconds(lambda: _fill(desk, place)), _seconds(lambda: (layer.fill(place, 3), _live(0)))
        alike = bool(np.array_equal(np.asarray(layer.data), desk.session.labels.values))
        desk.session.undo()
        layer.fill(place, 1)
        _live(0.5)
        if number >= 0:  # the first warms up
            ours_s.append(pair[0])
            theirs_s.append(pair[1])
    bare.close()
    gap = desk.session.labels.values.copy()
    gap[depth // 2 - depth // 20 : depth // 2 + depth // 20] = 0
    desk.session.absorb(gap, "bench", "a gap")
    _live(0.5)
    interpolate_s = _seconds(
        lambda: (desk.bench.tools.apply(lambda scene: interpolate(scene, depth // 2, 1)), _live(0))
    )
    return {
        "fill3d_s": round(float(np.median(ours_s)), 3),
        "napari_fill3d_s": round(float(np.median(theirs_s)), 3),
        "fill3d_ratio": round(float(np.median(theirs_s) / np.median(ours_s)), 1),
        "fills_are_alike": alike,
        "interpolate_s": round(interpolate_s, 4),
    }


def _fill(desk: Any, place: tuple[int, ...]) -> None:
    from napari_covseg.review import fill

    run = desk.bench.tools.apply_aside(lambda scene: fill(scene, place, 3), "Filling")
    while not run.over:
        desk.bench.tool_runner.wait(run, 60)
    _live(0)


def _gaps(desk: Any, seconds: float) -> tuple[list[float], int, int]:
    """Return milliseconds between turns of the window's own loop while a network segments and the reader paints."""
    from qtpy.QtCore import QTimer

    from napari_covseg.workbench import SegmentRequest

    ticks: list[float] = []
    timer, hand = QTimer(), QTimer()
    timer.setInterval(TICK_MS)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    depth = desk.session.geometry.shape[0]
    request = SegmentRequest(desk.bench.choice.checkpoint, "range", 0, 0, min(depth, GAP_SLICES * 5) - 1, device="cpu")
    run = desk.bench.segment(request)
    while not run.progress.done and not run.over:  # the network is woken: torch is imported, weights are read
        _loop(0.05)
    paint = _painter(desk)
    hand.setInterval(40)
    hand.timeout.connect(paint.move)
    timer.start()
    hand.start()
    _loop(seconds)
    timer.stop()
    hand.stop()
    done = run.progress.done
    run.cancel()
    while not run.over:
        _live(0.05)
    return (1000 * np.diff(ticks)).tolist(), paint.strokes, done


def _painter(desk: Any) -> Any:
    """Return a hand that draws one stroke of the HU brush after the other, a move per call."""
    from qtpy.QtCore import QEvent, QPointF

    native = desk.viewer.window._qt_viewer.canvas.native
    rect, lesions = native.rect(), desk.link.layers.lesions
    desk.viewer.dims.set_current_step(0, desk.session.geometry.shape[0] * 3 // 4)
    desk.viewer.layers.selection.active = lesions
    lesions.mode = "paint"
    desk.tools.change(by_hu=True)

    class Hand:
        strokes, at = 0, 0

        def move(self) -> None:
            x = rect.width() * (0.3 + 0.4 * self.at / MOVES)
            place = QPointF(x, rect.height() * (0.3 + 0.04 * (self.strokes % 10)))
            if self.at == 0:
                lesions.selected_label = 1 + self.strokes % 2
                _send(native, QEvent.Type.MouseMove, place, pressed=False)
                _send(native, QEvent.Type.MouseButtonPress, place)
            elif self.at == MOVES:
                _send(native, QEvent.Type.MouseButtonRelease, place, pressed=False)
                self.strokes += 1
            else:
                _send(native, QEvent.Type.MouseMove, place)
            self.at = (self.at + 1) % (MOVES + 1)

    return Hand()


def _journal(folder: Path, scan: Any, corrections: int) -> Figures:
    """Return what strokes cost on the disk, and how long a session of so many takes to open again."""
    from napari_covseg.review import ReviewSession, Scene, Tip, stroke

    _ = scan.sha256
    session = ReviewSession.begin(folder, scan, "bench")
    scene = Scene(session.labels.values, scan)
    rng = np.random.default_rng(0)
    depth, height, width = scan.hu.shape
    spent_ms: list[float] = []
    while len(spent_ms) < corrections:
        index = int(rng.integers(depth))
        start = (index, int(rng.integers(height)), int(rng.integers(width)))
        end = (index, *np.clip(start[1:] + rng.integers(-30, 31, 2), 0, (height - 1, width - 1)).tolist())
        found = stroke(scene.on_slice(index), [start, end], Tip(int(rng.integers(4)), BRUSH_MM))
        if found is not None:
            spent_ms.append(1000 * _seconds(lambda found=found: session.correct(found)))
    values = session.labels.values.copy()
    session.close()
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    started = time.perf_counter()
    again = ReviewSession.begin(folder, scan, "bench")
    reopen_s = time.perf_counter() - started
    assert np.array_equal(again.labels.values, values)
    again.close()
    return {
        "journal_ms": spent_ms,
        "journal_median_ms": _percentile(spent_ms, 50),
        "reopen_s": round(reopen_s, 3),
        "session_mb": round(size / 1e6, 2),
        "corrections": corrections,
    }


if __name__ == "__main__":
    main()
