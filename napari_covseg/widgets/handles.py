"""Every tool as the reader sees it: its name on a button, its key, and what it does with the settings and a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from napari_covseg.review import (
    Growth,
    accept,
    copy_slice,
    fill,
    fill_holes,
    grow,
    interpolate,
    keep_largest,
    relabel,
    relabel_by_hu,
    remove_islands,
    smooth,
)
from napari_covseg.review.correction import Labels
from napari_covseg.widgets.tool_settings import ToolSettings
from napari_covseg.workbench import Tool

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader asks of a tool: the class, the slice on screen, the place if any, the sizes, another's proposal."""

    value: int
    index: int
    place: Place | None
    settings: ToolSettings
    other: Callable[[], tuple[str, Labels]]


@dataclass(frozen=True, slots=True)
class Handle:
    """What a tool is taken by.

    Parameters
    ----------
    name
        On its button.
    key
        As napari writes it.
    title
        What it does, in one line.
    tool
        The tool with what was asked for filled in.
    at
        ``place``: where the reader points. ``scope``: on the slice or on all. ``slice``: on the slice on screen.
    doing
        What the state line says while it runs on all slices.
    """

    name: str
    key: str
    title: str
    tool: Callable[[Asked], Tool]
    at: Literal["place", "scope", "slice"]
    doing: str = ""


def _here(asked: Asked) -> Place:
    if asked.place is None:
        raise ValueError("Point at a place inside the scan; nothing was done.")
    return asked.place


def _fill(asked: Asked) -> Tool:
    return partial(fill, place=_here(asked), value=asked.value)


def _grow(asked: Asked) -> Tool:
    settings = asked.settings
    hu_range = settings.range_of(asked.value)
    return partial(
        grow, seed=_here(asked), growth=Growth(asked.value, hu_range, settings.grow_limit_mm, settings.in_lungs)
    )


def _accept(asked: Asked) -> Tool:
    network, proposal = asked.other()
    return partial(accept, place=_here(asked), proposal=proposal, network=network)


def _interpolate(asked: Asked) -> Tool:
    return partial(interpolate, index=asked.index, value=asked.value, place=asked.place)


HANDLES = (
    Handle("Fill", "Shift-F", "Fill what hangs together here with the chosen class", _fill, "place", "Filling"),
    Handle("Grow", "G", "Grow from here within the HU range of the chosen class", _grow, "place", "Growing"),
    Handle(
        "Interpolate",
        "I",
        "Fill the empty slices between two painted ones; point at a lesion for that one alone",
        _interpolate,
        "slice",
    ),
    Handle(
        "Relabel",
        "K",
        "Give the lesion here the chosen class",
        lambda asked: partial(relabel, place=_here(asked), value=asked.value),
        "place",
        "Relabelling",
    ),
    Handle(
        "By density",
        "Shift-K",
        "Tell ground glass from consolidation by HU",
        lambda asked: partial(relabel_by_hu, above_hu=asked.settings.density_hu),
        "scope",
        "Relabelling by density",
    ),
    Handle(
        "Delete",
        "Delete",
        "Erase the lesion here",
        lambda asked: partial(relabel, place=_here(asked), value=0),
        "place",
        "Deleting",
    ),
    Handle("Accept", "Shift-A", "Take over the other network's lesion here", _accept, "place", "Accepting"),
    Handle(
        "Islands",
        "Shift-I",
        "Erase every lesion below a volume",
        lambda asked: partial(remove_islands, below_mm3=asked.settings.islands_below_mm3),
        "scope",
        "Removing islands",
    ),
    Handle("Holes", "Shift-H", "Fill the holes in lesions", lambda _: fill_holes, "scope", "Filling holes"),
    Handle(
        "Smooth",
        "Shift-S",
        "Smooth the outlines; borders between classes stay",
        lambda asked: partial(smooth, size_mm=asked.settings.smoothing_mm, kind=asked.settings.smoothing),
        "scope",
        "Smoothing",
    ),
    Handle(
        "Largest",
        "Shift-L",
        "Erase all of the chosen class but its largest lesion",
        lambda asked: partial(keep_largest, value=asked.value),
        "scope",
        "Keeping the largest",
    ),
    Handle(
        "Copy ↑",
        "Shift-Up",
        "Paint here what the slice above holds",
        lambda asked: partial(copy_slice, index=asked.index, step=-1),
        "slice",
    ),
    Handle(
        "Copy ↓",
        "Shift-Down",
        "Paint here what the slice below holds",
        lambda asked: partial(copy_slice, index=asked.index, step=1),
        "slice",
    ),
)
BY_NAME = {each.name: each for each in HANDLES}
