"""napari's brush, bounded: the same circle, keys and views, but the voxels are those of our own tool.

napari offers no way in between its cursor and its voxels; the layer's own `paint` and `fill` are what its mouse calls,
so these two are replaced on our layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_covseg.review import Correction, Scene, reachable, stroke, why_nothing
from napari_covseg.widgets.pen import TOOLS

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


def bound(lesions: Labels, desk: Desk) -> None:
    """Let the brush, the eraser and the fill of a painted layer be our tools, with what the toolbox is set to."""
    lesions.paint = partial(_paint, lesions, desk, lesions.paint)
    lesions.paint_polygon = partial(_paint_polygon, lesions, desk, lesions.paint_polygon)
    lesions.fill = partial(_fill, lesions, desk)


def _paint(
    lesions: Labels, desk: Desk, plain: Any, coord: Sequence[float], new_label: int, refresh: bool = True
) -> None:
    hidden = lesions._slice_input.not_displayed
    if not desk.tools.settings.bounds_the_brush or desk.bench.current is None or len(hidden) != 1:
        desk.link.pen.tools.update(TOOLS)
        plain(coord, new_label, refresh)
        return
    place = _voxel(coord)
    tip = desk.tools.tip(lesions, new_label)
    scene = _scene(lesions, desk, place, hidden[0])
    try:
        correction = stroke(scene, [place], tip)
    except ValueError as error:
        if desk.link.pen.is_news(str(error)):
            desk.bench.complained.emit(str(error))
        return
    desk.link.pen.tools[desk.link.pen.mode_of(lesions)] = tip.name
    if correction is None:
        desk.link.pen.missed(lambda: why_nothing(scene, place, tip))
        return
    desk.link.pen.hit()
    _write(lesions, correction, new_label)
    if refresh:
        lesions.refresh(extent=False)


def _paint_polygon(lesions: Labels, desk: Desk, plain: Any, points: Any, new_label: int) -> None:
    """Fill an outline that was drawn, then take back what the brush could not have reached."""
    hidden, settings = lesions._slice_input.not_displayed, desk.tools.settings
    is_bounded = (settings.by_hu or settings.in_lungs) and desk.bench.current is not None and len(hidden) == 1
    if not is_bounded:
        desk.link.pen.tools.update(TOOLS)
        plain(points, new_label)
        return
    place = _voxel(points[0])
    tip = desk.tools.tip(lesions, new_label)
    try:
        scene = _scene(lesions, desk, place, hidden[0]).on_slice(place[hidden[0]], hidden[0])
        allowed = reachable(scene, tip, scene.reach)
    except ValueError as error:
        desk.bench.complained.emit(str(error))
        return
    drawn_on = lesions.data[scene.reach]
    before = drawn_on.copy()
    desk.link.pen.tools[desk.link.pen.mode_of(lesions)] = tip.name
    plain(points, new_label)
    drawn_on[~allowed] = before[~allowed]
    lesions.refresh(extent=False)


def _fill(lesions: Labels, desk: Desk, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:  # noqa: ARG001
    """Fill with our own tool: napari's takes seconds in three dimensions and pours into the open."""
    place = _voxel(coord)
    inside = all(0 <= p < n for p, n in zip(place, lesions.data.shape, strict=True))
    if inside and int(lesions.data[place]) != new_label and not desk.bench.tool_runner.busy:
        hidden = lesions._slice_input.not_displayed
        desk.tools.fill_at(place, new_label, hidden[0] if len(hidden) == 1 else 0)


def _scene(lesions: Labels, desk: Desk, place: tuple[int, int, int], axis: int) -> Scene:
    """Return the painted layer as it stands mid-stroke, one slice of it as the view shows, or all for a ball."""
    opened = desk.bench.current
    assert opened is not None
    lung = opened.lungs.mask(place[0] if axis == 0 else None)
    scene = Scene(lesions.data, opened.scan, lung)
    return scene if desk.tools.settings.with_a_ball else scene.on_slice(place[axis], axis)


def _write(lesions: Labels, correction: Correction, new_label: int) -> None:
    changed = np.nonzero(correction.before != correction.after)
    indices = tuple(each + start for each, start in zip(changed, correction.start, strict=True))
    lesions.data_setitem(indices, new_label, refresh=False)


def _voxel(coord: Sequence[float]) -> tuple[int, int, int]:
    i, j, k = (int(np.round(each)) for each in coord[-3:])
    return i, j, k
