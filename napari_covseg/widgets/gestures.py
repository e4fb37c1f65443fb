"""What the reader does while reading, by key or by button."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_covseg.review import relabel
from napari_covseg.review.scene import DRAW_LUNGS
from napari_covseg.review.words import marks_in_words
from napari_covseg.volume import LESIONS
from napari_covseg.volume.presets import WindowPreset
from napari_covseg.widgets.windows import after, preset_of
from napari_covseg.widgets.words import saved_line

if TYPE_CHECKING:
    from napari_covseg.review.scene import Place
    from napari_covseg.widgets.benches import Desk

NO_LUNGS = f"No network has drawn the lungs of this scan; segment it with one that does: {DRAW_LUNGS}."


def slice_shown(desk: Desk) -> int:
    """Return the index of the slice on screen."""
    opened = desk.bench.current
    depth = opened.scan.geometry.shape[0] if opened else 1
    return min(max(int(desk.viewer.dims.current_step[0]), 0), depth - 1)


def go_to(desk: Desk, index: int) -> None:
    """Show a slice; past the ends, the last one there is."""
    if desk.bench.current is not None:
        depth = desk.bench.current.scan.geometry.shape[0]
        desk.viewer.dims.set_current_step(0, min(max(index, 0), depth - 1))


def point_at(desk: Desk, place: Place) -> None:
    """Show a voxel: its slice in every view, and for a moment a cross-hair through it."""
    if desk.bench.current is not None:
        desk.viewer.dims.current_step = place
        desk.furniture.ortho.point()


def relabel_lesion(desk: Desk, place: Place, value: int) -> None:
    """Give the lesion at a place another class; 0 deletes it."""
    desk.attempt(lambda: desk.bench.tools.apply(partial(relabel, place=place, value=value)))


def review_and_go_on(desk: Desk) -> None:
    """Mark the slice on screen reviewed and show the next that is not; a stroke that was begun is ended first."""
    session = desk.session
    if session is None or desk.link.is_drawing:
        return
    if desk.furniture.compare.shown != "current":
        desk.furniture.compare.end()
        desk.bench.said.emit("These are your labels, which the comparison had hidden; R marks them reviewed.")
        return
    index, depth = slice_shown(desk), session.geometry.shape[0]
    desk.furniture.looks.count()
    desk.attempt(lambda: None if index in session.marks else session.mark_reviewed(index))
    if index not in session.marks:
        return
    onward = [*range(index + 1, depth), *range(index)]
    open_ones = [candidate for candidate in onward if candidate not in session.marks]
    if open_ones:
        go_to(desk, open_ones[0])
    else:
        desk.bench.said.emit("Every slice is reviewed.")


def next_suggestion(desk: Desk) -> None:
    """Show the slice that is most worth looking at next."""
    desk.furniture.next_slice.go()


def next_lesion(desk: Desk) -> None:
    """Show the next lesion, largest first."""
    desk.link.settle()
    desk.furniture.lesion_watch.go_to_next()


def take_mark_back(desk: Desk) -> None:
    """Take back the mark of the slice on screen."""
    if session := desk.session:
        desk.attempt(lambda: session.unmark(slice_shown(desk)))


def undo(desk: Desk) -> None:
    """Take back the last correction, by hand or by a network."""
    _step_in_history(desk, "undo")


def redo(desk: Desk) -> None:
    """Bring back what was undone last."""
    _step_in_history(desk, "redo")


def tell_saved(desk: Desk) -> None:
    """Say when the session was saved: nobody has to do it."""
    desk.link.settle()
    if desk.session is not None:
        desk.bench.said.emit(f"{saved_line(desk.session)} Every stroke is saved as you make it.")


def lesions_of(desk: Desk) -> Labels | None:
    """Return the layer that is painted on."""
    return desk.link.layers.lesions if desk.link.layers else None


def choose_class(desk: Desk, name: str) -> None:
    """Paint this class from now on."""
    desk.furniture.compare.end()
    lesions = lesions_of(desk)
    if lesions is None:
        return
    desk.viewer.layers.selection.active = lesions
    lesions.selected_label = LESIONS[name].value
    lesions.mode = "paint"


def erase_in_range(desk: Desk) -> None:
    """Erase only what lies in the range of the chosen class from now on."""
    desk.tools.change(by_hu=True)
    choose_mode(desk, "erase")


def switch(desk: Desk, setting: str) -> None:
    """Turn a setting of the tools on or off."""
    desk.tools.change(**{setting: not getattr(desk.tools.settings, setting)})


def choose_mode(desk: Desk, mode: str) -> None:
    """Move, paint or erase from now on."""
    desk.furniture.compare.end()
    lesions = lesions_of(desk)
    if lesions is None:
        return
    desk.viewer.layers.selection.active = lesions
    if mode == "paint" and lesions.selected_label == 0:
        lesions.selected_label = 1
    lesions.mode = mode


def toggle_lungs(desk: Desk) -> None:
    """Show or hide the lungs that a network drew."""
    if not desk.link.lungs.toggle():
        desk.bench.said.emit(NO_LUNGS)


def toggle_views(desk: Desk) -> None:
    """Show coronal and sagittal below the axial view, or put them away."""
    desk.furniture.compare.end()
    desk.furniture.ortho.toggle()


def compare(desk: Desk) -> None:
    """Show what the network proposed, then what was changed, then the lesions again."""
    if not desk.link.is_drawing:
        desk.furniture.compare.next()


def show_window(desk: Desk, preset: WindowPreset) -> None:
    """Show the scan in a window preset."""
    if desk.link.layers:
        desk.link.layers.scan.contrast_limits = preset.limits_hu


def window_shown(desk: Desk) -> WindowPreset | None:
    """Return the preset the scan is shown in; None for any other window."""
    if desk.link.layers is None:
        return None
    low, high = desk.link.layers.scan.contrast_limits
    return preset_of((low, high))


def next_window(desk: Desk) -> None:
    """Show the next window preset in turn."""
    show_window(desk, after(window_shown(desk)))


def _step_in_history(desk: Desk, direction: str) -> None:
    session = desk.session
    if session is None or desk.link.is_drawing:
        return
    desk.link.settle()
    marked = session.marks
    if direction == "undo":
        title, step, done = session.undo_title, desk.bench.undo, "Undone"
    else:
        title, step, done = session.redo_title, session.redo, "Brought back"
    if desk.attempt(step):
        desk.bench.said.emit(f"{done}: {title}. {marks_in_words(marked, session.marks)}".rstrip())
    elif direction == "undo" and not session.refusal and session.undo_end:
        desk.bench.said.emit(session.undo_end)
