"""What a lesion is called: relabel one, tell classes apart by density, accept one from another network."""

from __future__ import annotations

import numpy as np

from napari_covseg.jobs import Job, Progress, drain
from napari_covseg.review.components import BY_CORNERS, component
from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.hu_range import BETWEEN_CLASSES_HU, smoothed_hu
from napari_covseg.review.scene import TITLES, Place, Scene, box_of
from napari_covseg.volume import LESIONS

GGO, CONSOLIDATION = LESIONS["ggo"].value, LESIONS["consolidation"].value
NO_LESION = "There is no lesion at that place; point at one."


def relabel(scene: Scene, place: Place, value: int) -> Correction | None:
    """Give the component at a place another class; 0 erases it.

    A component is all that hangs together with the place by faces, edges and corners and has its class.

    Raises
    ------
    ValueError
        If there is no lesion at the place.
    """
    here = int(scene.labels[scene.checked(place)])
    found = component(scene, place, lambda box: scene.labels[box] == here, BY_CORNERS) if here else None
    if found is None:
        raise ValueError(NO_LESION)
    box, mask = found
    after = np.where(mask, np.uint8(value), scene.labels[box])
    title = f"relabel {TITLES[here]} as {TITLES[value]}" if value else f"delete a lesion of {TITLES[here]}"
    return scene.correction(box, after, "relabel" if value else "delete", title)


def relabel_by_hu(scene: Scene, above_hu: float = BETWEEN_CLASSES_HU, place: Place | None = None) -> Correction | None:
    """Relabel at once; see `relabelling_by_hu`."""
    return drain(relabelling_by_hu(scene, above_hu, place))


def relabelling_by_hu(
    scene: Scene, above_hu: float = BETWEEN_CLASSES_HU, place: Place | None = None
) -> Job[Correction | None]:
    """Call ground glass and consolidation by their density on the lightly smoothed scan; other classes stay.

    Parameters
    ----------
    scene
        Its reach decides: one slice, or the whole scan.
    above_hu
        Denser than this is consolidation; exactly this and less is ground glass.
    place
        Only the lesion here, both classes together; every lesion in reach without.

    Raises
    ------
    ValueError
        If a place is given and there is neither of the two.
    """
    both = [GGO, CONSOLIDATION]
    if place is not None:
        found = component(scene, scene.checked(place), lambda box: np.isin(scene.labels[box], both), BY_CORNERS)
        if found is None:
            raise ValueError("There is neither ground glass nor consolidation at that place; point at one of them.")
        box, mask = found
    else:
        around = scene.box_of(both)
        if around is None:
            return None
        box, mask = around, np.isin(scene.labels[around], both)
    after = scene.labels[box].copy()
    for number, plane in enumerate(mask):
        yield Progress(number, len(mask), "relabelling by density")
        around = box_of(plane[None], (slice(box[0].start + number, box[0].start + number + 1), *box[1:]))
        if around is not None:
            inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(around[1:], box[1:], strict=True))
            by_hu = np.where(smoothed_hu(scene.scan, around)[0] > above_hu, np.uint8(CONSOLIDATION), np.uint8(GGO))
            np.copyto(after[number][inside], by_hu, where=plane[inside])
    title = f"relabel by density at {above_hu:g} HU".replace("-", "−")
    return scene.correction(box, after, "relabel by HU", title)


def accept(scene: Scene, place: Place, proposal: Labels, network: str) -> Correction | None:
    """Take over a lesion as another network drew it; what lies beside it stays.

    A lesion is all of the proposal that hangs together with the place, whatever its classes.

    Parameters
    ----------
    scene
        Its reach decides: one slice, or three dimensions.
    place
        On the other network's lesion.
    proposal
        (D, H, W) uint8, what that network drew.
    network
        What the reader calls it.

    Raises
    ------
    ValueError
        If the proposal has no lesion at the place, or is not on the grid.
    """
    if proposal.shape != scene.labels.shape:
        raise ValueError("The other network's proposal is not on the scan's grid.")
    found = component(scene, scene.checked(place), lambda box: proposal[box] != 0, BY_CORNERS)
    if found is None:
        raise ValueError(f"{network} drew no lesion at that place; point at one it drew.")
    box, mask = found
    after = np.where(mask, proposal[box], scene.labels[box])
    return scene.correction(box, after, "accept", f"accept a lesion of {network}")
