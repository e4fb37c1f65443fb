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
    relabelling_by_hu,
    remove_islands,
    smoothing,
)
from napari_covseg.review.correction import Labels
from napari_covseg.widgets.tool_settings import ToolSettings
from napari_covseg.workbench import Tool

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader asks of a tool: class, slice on screen, place if any, settings, another network's proposal."""

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
    hint
        What its tooltip says beside the title.
    """

    name: str
    key: str
    title: str
    tool: Callable[[Asked], Tool]
    at: Literal["place", "scope", "slice"]
    doing: str = ""
    hint: str = ""


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
    Handle(
        "Fill",
        "Shift-F",
        "Fill here with the class",
        _fill,
        "place",
        "Filling",
        hint="all that hangs together here; background only where lesions enclose it",
    ),
    Handle(
        "Grow", "G", "Grow from here in the HU range", _grow, "place", "Growing", hint="as far as the limit under Sizes"
    ),
    Handle(
        "Interpolate",
        "I",
        "Interpolate between two painted slices",
        _interpolate,
        "slice",
        hint="the class, over background; point at a lesion to fill that one alone",
    ),
    Handle(
        "Relabel",
        "K",
        "Give the lesion here the class",
        lambda asked: partial(relabel, place=_here(asked), value=asked.value),
        "place",
        "Relabelling",
    ),
    Handle(
        "Density",
        "Shift-K",
        "Ground glass or consolidation by HU",
        lambda asked: partial(relabelling_by_hu, above_hu=asked.settings.density_hu),
        "scope",
        "Relabelling by density",
        hint="the border is under Sizes; effusion stays",
    ),
    Handle(
        "Delete",
        "Delete",
        "Erase the lesion here",
        lambda asked: partial(relabel, place=_here(asked), value=0),
        "place",
        "Deleting",
    ),
    Handle(
        "Accept",
        "Shift-A",
        "Take the other network's lesion here",
        _accept,
        "place",
        "Accepting",
        hint="beside what is painted already",
    ),
    Handle(
        "Islands",
        "Shift-I",
        "Erase lesions below a volume",
        lambda asked: partial(remove_islands, below_mm3=asked.settings.islands_below_mm3),
        "scope",
        "Removing islands",
        hint="the volume is under Sizes",
    ),
    Handle(
        "Holes",
        "Shift-H",
        "Fill holes in lesions",
        lambda _: fill_holes,
        "scope",
        "Filling holes",
        hint="with the class around each",
    ),
    Handle(
        "Smooth",
        "Shift-S",
        "Smooth the outlines",
        lambda asked: partial(smoothing, size_mm=asked.settings.smoothing_mm, kind=asked.settings.smoothing),
        "scope",
        "Smoothing",
        hint="borders between classes stay",
    ),
    Handle(
        "Largest",
        "Shift-L",
        "Keep the largest of the class",
        lambda asked: partial(keep_largest, value=asked.value),
        "scope",
        "Keeping the largest",
    ),
    Handle(
        "Copy ↑",
        "Shift-Up",
        "Copy from the slice above",
        lambda asked: partial(copy_slice, index=asked.index, step=-1),
        "slice",
        hint="over background only",
    ),
    Handle(
        "Copy ↓",
        "Shift-Down",
        "Copy from the slice below",
        lambda asked: partial(copy_slice, index=asked.index, step=1),
        "slice",
        hint="over background only",
    ),
)
BY_NAME = {each.name: each for each in HANDLES}
