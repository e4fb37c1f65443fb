"""The keys. They are bound on the viewer, and on our layers too, whose own keys would come first.

Free in napari 0.9 for image and labels layers: ``, . A D G H I K N Q R S T U W Y``; ``C`` and ``O`` are bound on image
layers only, to what ours are better without. Ctrl-Z and Ctrl-Shift-Z are taken from the labels
layer, whose own undo knows only the brush, and Ctrl-Y from the 3-D view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_covseg.volume import LESIONS
from napari_covseg.widgets import gestures
from napari_covseg.widgets.handles import HANDLES, Handle

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it is for, and what it does; one that is held does so until it is let go."""

    key: str
    title: str
    act: Callable[[Desk], Any]
    held: bool = False


CLASS_KEYS = {"ggo": "A", "consolidation": "S", "effusion": "D", "infection": "Q"}


def hide(desk: Desk) -> Iterator[None]:
    """Hide the lesions while the key is held."""
    lesions = gestures.lesions_of(desk)
    if lesions is None or not lesions.visible:
        return
    lesions.visible = False
    yield
    lesions.visible = True


def fill_only(desk: Desk) -> Iterator[None]:
    """Take the outlines away while the key is held."""
    layers = desk.link.layers
    if layers is None:
        return
    shown, layers.outlines.visible = layers.outlines.visible, False
    yield
    layers.outlines.visible = shown


def _step(desk: Desk, slices: int) -> None:
    gestures.go_to(desk, gestures.slice_shown(desk) + slices)


def _use(desk: Desk, handle: Handle) -> None:
    desk.tools.use(handle)


KEYS = (
    Key(",", "Slice above", partial(_step, slices=-1)),
    Key(".", "Slice below", partial(_step, slices=1)),
    Key("R", "Reviewed, and on to the next", gestures.review_and_go_on),
    Key("N", "Next slice worth a look", gestures.next_suggestion),
    Key("Shift-N", "Next lesion, largest first", gestures.next_lesion),
    Key("W", "Next window", gestures.next_window),
    Key("Y", "Coronal and sagittal views", gestures.toggle_views),
    Key("U", "Lungs on or off", gestures.toggle_lungs),
    Key("C", "Before and after: proposal, difference", gestures.compare),
    Key("H", "Hide lesions while held", hide, held=True),
    Key("O", "No outlines while held", fill_only, held=True),
    *(
        Key(key, f"Paint {LESIONS[name].title.lower()}", partial(gestures.choose_class, name=name))
        for name, key in CLASS_KEYS.items()
    ),
    Key("T", "HU range on or off (brush, eraser)", partial(gestures.switch, setting="by_hu")),
    Key("Shift-T", "In the lungs on or off", partial(gestures.switch, setting="in_lungs")),
    Key("Shift-B", "Brush in 3-D on or off", partial(gestures.switch, setting="with_a_ball")),
    Key("Shift-E", "Erase in the HU range", gestures.erase_in_range),
    Key("Shift-D", "Tools: this slice or 3-D", partial(gestures.switch, setting="in_3d")),
    *(Key(each.key, each.title, partial(_use, handle=each)) for each in HANDLES),
    Key("Ctrl-Z", "Undo", gestures.undo),
    Key("Ctrl-Shift-Z", "Redo", gestures.redo),
    Key("Ctrl-Y", "Redo", gestures.redo),
    Key("Ctrl-S", "When it was saved", gestures.tell_saved),
)

BRUSH_KEYS = (
    Key("P", "Paint", partial(gestures.choose_mode, mode="paint")),
    Key("E", "Erase", partial(gestures.choose_mode, mode="erase")),
)
"""They are napari's own on the layer that is painted on; on another one they would do nothing."""


def bind(owner: Any, desk: Desk, *, is_painted_on: bool = False) -> None:
    """Bind every key on a viewer or a layer."""
    for key in KEYS if is_painted_on else (*KEYS, *BRUSH_KEYS):
        owner.bind_key(key.key, _bound(key, desk), overwrite=True)


def _bound(key: Key, desk: Desk) -> Callable[[Any], Any]:
    """Return what napari calls: a generator function where release matters, since it looks for exactly that."""

    def on_press(_: Any) -> None:
        key.act(desk)

    def while_held(_: Any) -> Iterator[None]:
        yield from key.act(desk)

    return while_held if key.held else on_press
