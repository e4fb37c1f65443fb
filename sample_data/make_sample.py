"""Make the bundled sample: a synthetic chest CT with COVID-19-like lesions and their label maps.

The anatomy is described by signed distances (mm, negative inside) in a canonical frame: ``x`` grows to the
patient's left, ``y`` to posterior, ``z`` to superior. A smooth warp of the voxel coordinates takes the
geometric regularity out of every structure at once. Each stored slice is the mean of two thinner ones, which
gives true partial volume, and is then blurred and given noise the way a reconstruction would.

No patient is depicted and no patient data were used. Run ``python make_sample.py [--out DIR]``.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import label as connected_regions

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Point = tuple[float, float, float]
Knots = Sequence[tuple[float, float]]
Tube = tuple[Sequence[Point], Sequence[float]]  # the points of its axis and its radii, in mm

SEED = 20200311
SHAPE = (256, 256, 64)
SPACING_MM = (1.4, 1.4, 5.0)
SUBSLICES = 2
FIRST_X_MM, FIRST_Y_MM = -178.5, -170.0  # canonical coordinates of the first voxel
ORIGIN_RAS_MM = (181.3, 163.6, -412.5)  # where the scanner saw that voxel
EDGE_MM = 1.4  # width over which a surface is anti-aliased
FAR_MM = 60.0
WARP_MM = 12.0  # no voxel is displaced by more than this
DETOUR_COST = 0.6  # of a mm along a vascular tree, against a mm of new branch
HU_STEP = 4
HU_MIN, HU_MAX = -1024, 1600

GGO, CONSOLIDATION, EFFUSION = 1, 2, 3
RIGHT, LEFT = -1.0, 1.0  # sign of x

AIR_HU, FAT_HU, MUSCLE_HU, BLOOD_HU = -1000.0, -102.0, 52.0, 40.0
CORTEX_HU, MARROW_HU, CARTILAGE_HU = 760.0, 210.0, 105.0
SPINE_Y_MM: Knots = ((0, 52), (60, 57), (120, 60), (180, 58), (240, 50), (300, 38), (320, 34))


@dataclass(frozen=True)
class Grid:
    """Canonical (warped) coordinates of every voxel of the finely sliced volume, in mm."""

    x_mm: Array
    y_mm: Array
    z_mm: Array

    def box(self, low_mm: Point, high_mm: Point) -> tuple[slice, slice, slice]:
        """Return the voxel slices which surely hold the canonical box ``low_mm`` .. ``high_mm``."""
        first = (FIRST_X_MM, FIRST_Y_MM, 0.5 * SPACING_MM[2] / SUBSLICES)
        step = (SPACING_MM[0], SPACING_MM[1], SPACING_MM[2] / SUBSLICES)
        start = [int((a - WARP_MM - f) // d) for a, f, d in zip(low_mm, first, step, strict=True)]
        stop = [int((b + WARP_MM - f) // d) + 2 for b, f, d in zip(high_mm, first, step, strict=True)]
        limits = [slice(max(a, 0), max(b, 0)) for a, b in zip(start, stop, strict=True)]
        return limits[0], limits[1], limits[2]

    def at(self, box: tuple[slice, slice, slice]) -> tuple[Array, Array, Array]:
        """Return the three coordinate arrays inside ``box``."""
        return self.x_mm[box], self.y_mm[box], self.z_mm[box]


@dataclass(frozen=True)
class Thorax:
    """The signed distances (mm, negative inside) which everything else is placed by.

    Attributes
    ----------
    body_mm, wall_mm : Array
        Distance to the skin and to the inner surface of the chest wall.
    angle_deg : Array
        Direction about the axis of the own hemithorax: 0 posterior, 90 lateral, 180 anterior.
    above_mm : Array
        Height above the diaphragm.
    depth_mm : Array
        Depth below the costal surface of the lung (below the fluid, where there is some).
    effusion_mm, lung_mm : Array
        Distances to the pleural fluid and the lung.
    """

    body_mm: Array
    wall_mm: Array
    angle_deg: Array
    above_mm: Array
    depth_mm: Array
    effusion_mm: Array
    lung_mm: Array


@dataclass(frozen=True)
class Tree:
    """A branching tree: node positions (mm), the parent of each node (-1 at a root), and radii (mm)."""

    nodes_mm: Array
    parents: Indices
    radii_mm: Array


# --------------------------------------------------------------------------- coordinates and noise


def make_grid(rng: np.random.Generator) -> Grid:
    """Return the voxel coordinates: the patient lies slightly rotated, and long waves displace every part."""
    columns, rows, slices = SHAPE[0], SHAPE[1], SHAPE[2] * SUBSLICES
    x = FIRST_X_MM + SPACING_MM[0] * np.arange(columns)[:, None, None]
    y = FIRST_Y_MM + SPACING_MM[1] * np.arange(rows)[None, :, None]
    z = SPACING_MM[2] / SUBSLICES * (0.5 + np.arange(slices)[None, None, :])
    moved = []
    for axis in (x, y, z):
        wave = np.zeros((columns, rows, slices))
        for length_mm, amplitude_mm in ((260.0, 2.2), (150.0, 1.6), (95.0, 1.1), (60.0, 0.6)):
            direction = rng.normal(size=3)
            direction *= 2 * np.pi / length_mm / np.linalg.norm(direction)
            phase = rng.uniform(0, 2 * np.pi)
            wave += amplitude_mm * np.sin(direction[0] * x + direction[1] * y + direction[2] * z + phase)
        moved.append(axis + wave)
    return Grid(moved[0] + 0.025 * y, moved[1] - 0.025 * x, moved[2] + 0.022 * x)


def smooth_noise(rng: np.random.Generator, sigma_mm: float) -> Array:
    """Return zero-mean, unit-variance noise on the fine grid, correlated over about ``sigma_mm``."""
    noise = gaussian_filter(rng.normal(size=SHAPE), [sigma_mm / s for s in SPACING_MM], mode="wrap")
    return np.asarray(np.repeat(noise / noise.std(), SUBSLICES, axis=2))


def profile(at_mm: Array, knots: Knots) -> Array:
    """Return a smooth curve through ``knots``, evaluated at ``at_mm`` and constant beyond its ends."""
    where, value = np.array(knots, dtype=float).T
    table = np.arange(where[0], where[-1] + 1.0)
    return np.asarray(np.interp(at_mm, table, PchipInterpolator(where, value)(table)))


def smooth_step(value: Array, low: float, high: float) -> Array:
    """Return a rise from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


# --------------------------------------------------------------------------- signed distances


def smooth_min(first: Array, second: Array, radius_mm: float) -> Array:
    """Return the union of two distances, their seam filled with the given radius."""
    share = np.clip(0.5 + 0.5 * (second - first) / radius_mm, 0.0, 1.0)
    return second + (first - second) * share - radius_mm * share * (1.0 - share)


def ellipsoid_mm(offsets: Sequence[Array], radii_mm: Sequence[float | Array]) -> Array:
    """Return the first-order distance to an ellipsoid (or ellipse) from the offsets to its centre."""
    scaled = [o / r for o, r in zip(offsets, radii_mm, strict=True)]
    norm = np.sqrt(sum(s * s for s in scaled))
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii_mm, strict=True)))
    return np.asarray(norm * (norm - 1.0) / np.maximum(slope, 1e-9))


def empty_field() -> Array:
    """Return a distance field with nothing in it."""
    return np.full((SHAPE[0], SHAPE[1], SHAPE[2] * SUBSLICES), FAR_MM)


def add_ellipsoid(field: Array, grid: Grid, centre: Point, radii: Point, blend_mm: float = 1.0) -> None:
    """Unite ``field`` (in place) with an ellipsoid given in mm."""
    reach = [r + 12.0 for r in radii]
    low = (centre[0] - reach[0], centre[1] - reach[1], centre[2] - reach[2])
    box = grid.box(low, (centre[0] + reach[0], centre[1] + reach[1], centre[2] + reach[2]))
    offsets = [axis - c for axis, c in zip(grid.at(box), centre, strict=True)]
    field[box] = smooth_min(field[box], ellipsoid_mm(offsets, radii), blend_mm)


def add_capsule(field: Array, grid: Grid, start: Array, end: Array, radii: tuple[float, float]) -> None:
    """Unite ``field`` (in place) with a cone-like capsule from ``start`` to ``end`` (mm)."""
    reach = max(radii) + 12.0 if max(radii) > 4.0 else max(radii) + 2.5
    low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    axis = end - start
    x, y, z = (c - s for c, s in zip(grid.at(box), start, strict=True))
    along = (x * axis[0] + y * axis[1] + z * axis[2]) / max(float(axis @ axis), 1e-9)
    along = np.clip(along, 0.0, 1.0)
    away = np.sqrt((x - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2 + (z - along * axis[2]) ** 2)
    field[box] = np.minimum(field[box], away - radii[0] - along * (radii[1] - radii[0]))


def add_tube(field: Array, grid: Grid, path: Sequence[Point], radii_mm: Sequence[float]) -> None:
    """Unite ``field`` (in place) with a smooth tube through the points of ``path`` (mm)."""
    points, radii = np.array(path, dtype=float), np.array(radii_mm, dtype=float)
    arc_mm = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at_mm = np.linspace(0.0, arc_mm[-1], max(2, int(arc_mm[-1] / 6.0) + 1))
    curve, widths = PchipInterpolator(arc_mm, points)(at_mm), np.interp(at_mm, arc_mm, radii)
    for i in range(len(at_mm) - 1):
        add_capsule(field, grid, curve[i], curve[i + 1], (float(widths[i]), float(widths[i + 1])))


def tubes(grid: Grid, paths: Sequence[Tube]) -> Array:
    """Return the distance to a set of tubes."""
    field = empty_field()
    for path, radii_mm in paths:
        add_tube(field, grid, path, radii_mm)
    return field


def occupancy(distance_mm: Array, edge_mm: float = EDGE_MM) -> Array:
    """Return how much of each voxel lies inside a surface, from the distance to it."""
    return np.clip(0.5 - distance_mm / edge_mm, 0.0, 1.0)


def paint(hu: Array, share: Array, value: float | Array) -> None:
    """Mix ``value`` into ``hu`` (in place) with weight ``share``."""
    hu += share * (value - hu)


# --------------------------------------------------------------------------- thorax


def chest_wall(grid: Grid) -> tuple[Array, Array, Array]:
    """Return the distance to the inner chest wall, the direction (degrees) and the diaphragm's height."""
    x, y, z = grid.x_mm, grid.y_mm, grid.z_mm
    level = z - 0.12 * y  # the thoracic inlet slopes down to the front
    centre_x = profile(level, ((0, 44), (60, 46), (220, 46), (260, 46), (300, 43)))
    centre_y = profile(level, ((0, 2), (180, 2), (220, 5), (260, 14), (300, 24)))
    radius_x = profile(
        level, ((0, 84), (60, 88), (120, 89), (180, 83), (220, 72), (250, 57), (275, 38), (291, 21), (301, 4))
    )
    radius_y = profile(
        level, ((0, 80), (60, 84), (120, 86), (180, 83), (220, 76), (250, 63), (275, 43), (291, 24), (301, 4))
    )
    halves = [ellipsoid_mm((s * x - centre_x, y - centre_y), (radius_x, radius_y)) for s in (RIGHT, LEFT)]
    wall = np.maximum(smooth_min(halves[0], halves[1], 30.0), level - 299.0)
    lateral = np.abs(x) - centre_x
    angle = (np.degrees(np.arctan2(lateral, y - centre_y)) + 90.0) % 360.0 - 90.0
    rim = np.sqrt((lateral / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2)
    side = smooth_step(x, -18.0, 18.0)
    sag = 46.0 + 22.0 * (y - centre_y) / radius_y + 8.0 * (1.0 - side)
    dome = 118.0 - 15.0 * side - sag * np.minimum(rim, 1.2) ** 3
    return wall, angle, z - dome


def skin(grid: Grid, wall_mm: Array) -> Array:
    """Return the distance to the skin: a rounded box with furrows, never closer than 12 mm to the ribs."""
    x, y, z = grid.x_mm, grid.y_mm, grid.z_mm
    half_width = profile(z, ((0, 150), (70, 152), (150, 156), (230, 164), (280, 165), (300, 152), (320, 122)))
    front = profile(z, ((0, -112), (60, -111), (150, -108), (230, -104), (275, -84), (320, -50)))
    back = profile(z, ((0, 114), (60, 119), (120, 122), (200, 122), (260, 112), (320, 96)))
    furrow = 9.0 * np.exp(-((x / 22.0) ** 2)) * smooth_step(y, 0.0, 60.0)
    furrow += 5.0 * np.exp(-((x / 16.0) ** 2)) * smooth_step(-y, 0.0, 60.0) * smooth_step(z, 120.0, 200.0)
    v = (y - 0.5 * (front + back)) / (0.5 * (back - front))
    norm = (np.abs(x / half_width) ** 2.5 + np.abs(v) ** 2.5) ** 0.4
    box_mm = (norm - 1.0) * 118.0 + furrow
    return smooth_min(box_mm, wall_mm - 20.0, 18.0)


GREAT_VESSELS: tuple[Tube, ...] = (
    (
        ((2, -14, 168), (-14, -26, 186), (-20, -28, 208), (-12, -20, 228), (4, -4, 238)),
        (15, 16.5, 16.5, 15.5, 14.5),
    ),
    (((4, -4, 238), (19, 15, 236), (26, 33, 224), (27, 42, 205), (25, 45, 170)), (14.5, 14, 13.5, 13, 12.5)),
    (((25, 45, 170), (22, 46, 120), (12, 42, 60), (4, 36, -10)), (12.5, 12, 11, 10)),
    (((-34, -12, 250), (-33, -10, 225), (-31, -10, 195), (-28, -8, 165)), (7, 8.5, 9, 10)),  # superior cava
    (((-33, -14, 248), (0, -32, 249), (30, -30, 262), (62, -26, 280)), (6.5, 6.5, 6, 5.5)),
    (((-34, -13, 248), (-42, -14, 266), (-66, -20, 283)), (6.5, 6, 5.5)),
    (((-10, -17, 232), (-18, -8, 255), (-27, 2, 278), (-30, 0, 330)), (6.5, 6, 5, 3.5)),  # brachiocephalic
    (((2, -3, 238), (10, 0, 262), (24, 4, 290), (30, 2, 330)), (4.5, 4, 3.5, 3.5)),  # left carotid
    (((15, 10, 238), (24, 16, 266), (44, 8, 287), (90, -4, 283), (150, 0, 274)), (5, 5, 4.5, 4, 3.5)),
    (((-26, 2, 277), (-48, 4, 289), (-92, -4, 284), (-150, 0, 275)), (4.5, 4.5, 4, 3.5)),
    (((-40, 0, 330), (-38, -8, 290), (-40, -14, 268)), (6, 6, 6)),  # internal jugular veins
    (((41, 2, 330), (40, -6, 295), (46, -24, 272)), (5, 5, 5.5)),
    (((14, -46, 168), (19, -42, 186), (20, -28, 199), (16, -14, 203)), (13, 14, 13.5, 12)),  # pulmonary trunk
    (((16, -12, 203), (-6, -4, 201), (-28, 2, 200), (-44, 6, 196)), (11, 10.5, 10, 8)),
    (((18, -14, 203), (34, 4, 208), (44, 14, 205), (48, 20, 196)), (11.5, 10.5, 9.5, 8)),
    (((-24, 8, 160), (-40, 12, 160), (-52, 16, 154)), (7, 7, 6)),  # pulmonary veins
    (((-20, 4, 172), (-42, -8, 182)), (6.5, 6)),
    (((34, 16, 158), (48, 20, 152)), (7, 6)),
    (((34, 4, 172), (48, -6, 180)), (6.5, 6)),
    (((-24, -2, 125), (-24, 8, 90), (-22, 14, 50), (-20, 16, -10)), (12, 12, 11.5, 11)),  # inferior cava
    (((-8, 40, 20), (-9, 42, 120), (-10, 38, 205)), (3, 4, 4.5)),  # azygos
    (((-10, 38, 205), (-22, 16, 216), (-31, -6, 214)), (4.5, 4.5, 4.5)),
)
MAIN_AIRWAYS: tuple[Tube, ...] = (
    (((1, -4, 340), (0, 2, 290), (-3, 11, 240), (-3, 15, 217)), (8.5, 8.5, 8.2, 8.2)),
    (((-4, 15, 216), (-18, 18, 204), (-33, 18, 194), (-42, 18, 184)), (7.5, 7, 6.3, 5)),
    (((-2, 15, 216), (16, 19, 204), (33, 23, 194), (47, 24, 186)), (7.2, 6.5, 6, 5)),
)
ESOPHAGUS: tuple[Tube, ...] = (
    (((2, 14, 340), (4, 17, 290), (8, 25, 245), (7, 31, 205), (5, 30, 150)), (7, 7, 7, 7.5, 8)),
    (((5, 30, 150), (10, 26, 115), (26, 12, 88)), (8, 8, 9)),
)


def heart_field(grid: Grid) -> Array:
    """Return the distance to the heart: both ventricles and atria, the apex to the left and front."""
    field = empty_field()
    parts: tuple[tuple[Point, Point], ...] = (
        ((36, -28, 126), (40, 33, 33)),
        ((52, -36, 117), (31, 27, 23)),
        ((4, -44, 132), (42, 26, 34)),
        ((-26, -14, 140), (28, 31, 36)),
        ((6, 13, 158), (37, 19, 24)),
        ((10, -30, 165), (27, 24, 24)),
    )
    for centre, radii in parts:
        add_ellipsoid(field, grid, centre, radii, 14.0)
    return field


def spine_parts(grid: Grid) -> tuple[Array, Array, Array]:
    """Return the distances to the bony spine (its canal open) and to the canal, and the share of disc."""
    x, z = grid.x_mm, grid.z_mm
    y = grid.y_mm - profile(z, SPINE_Y_MM)
    phase = ((z - 12.0) / 24.0 + 0.5) % 1.0 - 0.5  # 0 at the middle of each vertebra
    disc = smooth_step(np.abs(phase), 0.36, 0.44)
    waist = 1.8 * np.cos(2 * np.pi * phase)
    width = profile(z, ((0, 20), (120, 16.5), (300, 15)))
    body = ellipsoid_mm((x, y + 2.0), (width - waist, 0.86 * width - 0.6 * waist))
    body = np.maximum(body, y - 10.5)  # the back of the body is flat
    arch = np.abs(ellipsoid_mm((x, y - 20.0), (12.5, 11.5))) - 3.0
    lift = 24.0 * phase
    out = np.abs(x) - 24.0
    transverse = ellipsoid_mm((out, y - 23.0 - 0.35 * out, lift - 2.0), (15, 5, 6.5))
    slant = lift + 0.7 * (y - 44.0) + 4.0
    spinous = ellipsoid_mm((x, y - 43.0, (slant + 12.0) % 24.0 - 12.0), (3.4, 17, 8.5))
    facet = ellipsoid_mm((np.abs(x) - 13.0, y - 24.0), (6.0, 5.0))
    back = np.minimum(np.minimum(arch + 9.0 * smooth_step(np.abs(phase), 0.3, 0.5), spinous), transverse)
    bone = smooth_min(body, np.minimum(back, facet), 3.0)
    canal = ellipsoid_mm((x, y - 19.0), (10.0, 8.5))
    return np.maximum(bone, -canal), canal, disc * occupancy(body)


def mediastinum_field(grid: Grid, organs: Sequence[tuple[Array, float]]) -> Array:
    """Return the distance to the mediastinal pleura, which drapes over the given organs (with margins)."""
    x, y, z = grid.x_mm, grid.y_mm, grid.z_mm
    depth = y + 84.0 - profile(z, ((0, 0), (200, 0), (260, 25), (320, 55)))
    width = 4.0 + 19.0 * np.exp(-np.clip(depth, 0.0, None) / 13.0) + 20.0 * smooth_step(z, 245.0, 285.0)
    field = np.abs(x - 3.0) - width
    for distance_mm, margin_mm in organs:
        field = smooth_min(field, distance_mm - margin_mm, 9.0)
    pads = empty_field()
    add_ellipsoid(pads, grid, (-44, -54, 103), (24, 22, 19), 4.0)  # cardiophrenic fat
    add_ellipsoid(pads, grid, (74, -50, 101), (26, 22, 16), 4.0)
    return smooth_min(field, pads, 8.0)


def effusion_depth(grid: Grid, angle_deg: Array) -> Array:
    """Return how deep the right effusion is (mm) before each place of the chest wall."""
    height = profile(grid.z_mm, ((20, 27), (60, 34), (95, 33), (130, 22), (165, 11), (190, 4), (205, -2), (330, -2)))
    spread = (angle_deg - 8.0) / np.where(angle_deg < 8.0, 95.0, 88.0)
    meniscus = np.where(grid.x_mm < -2.0, 1.0 - np.abs(spread) ** 2.2, -1.0)
    return np.where(meniscus > 0.0, height * meniscus, -2.0)


def build_thorax(grid: Grid, mediastinum_mm: Array) -> Thorax:
    """Return the distances which place everything else."""
    wall, angle, above = chest_wall(grid)
    cavity = np.maximum(wall + 1.0, -0.75 * above)  # the diaphragm is steep: less than its height away
    pleura = np.maximum(cavity, -mediastinum_mm)
    depth = -wall - effusion_depth(grid, angle)
    return Thorax(
        body_mm=skin(grid, wall),
        wall_mm=wall,
        angle_deg=angle,
        above_mm=above,
        depth_mm=depth,
        effusion_mm=np.maximum(pleura, depth),
        lung_mm=np.maximum(pleura, -depth),
    )


# --------------------------------------------------------------------------- chest wall


def paint_body(hu: Array, thorax: Thorax, strands: Array) -> None:
    """Paint fat with strands inside the skin."""
    paint(hu, occupancy(thorax.body_mm), FAT_HU + 9.0 * strands)
    paint(hu, 0.75 * occupancy(np.abs(thorax.body_mm + 1.0) - 0.6), 20.0)


MUSCLES = (  # centre and half width (degrees), lowest and highest z, inner and outer depth (mm)
    (85, 175, -60, 330, 0.0, 7.5),  # intercostals
    (92, 52, 60, 275, 9.5, 18.0),  # serratus anterior
    (52, 40, 40, 240, 18.5, 32.0),  # latissimus dorsi
    (150, 44, 168, 292, 16.5, 34.0),  # pectoralis major
    (138, 26, 195, 285, 9.5, 17.0),  # pectoralis minor
    (62, 52, 172, 310, 9.5, 22.5),  # subscapularis
    (56, 46, 168, 305, 26.0, 48.0),  # infraspinatus and teres
    (112, 72, -40, 105, 9.0, 20.0),  # abdominal wall
    (205, 30, -60, 125, 8.5, 18.0),  # rectus abdominis
    (-5, 62, 150, 330, 27.0, 38.0),  # trapezius and rhomboids
)


def muscle_layers(grid: Grid, thorax: Thorax) -> Array:
    """Return the distance to the flat muscles of the chest wall, each a lens in a layer of it."""
    depth, z, field = thorax.wall_mm, grid.z_mm, empty_field()
    for centre, half, low, high, inner, outer in MUSCLES:
        u = (thorax.angle_deg - centre) / half
        v = (2.0 * z - low - high) / (high - low)
        swell = np.sqrt(np.clip(1.0 - u**4, 0.0, 1.0) * np.clip(1.0 - v**6, 0.0, 1.0))
        middle, thickness = 0.5 * (inner + outer), 0.5 * (outer - inner)
        field = np.minimum(field, np.abs(depth - middle) - thickness * swell + 2.0 * (swell <= 0.0))
    return field


def shoulder_muscles(grid: Grid) -> Array:
    """Return the distance to trapezius, supraspinatus, scalenes, sternomastoids and deltoids."""
    field = empty_field()
    for s in (RIGHT, LEFT):
        add_tube(field, grid, ((s * 16, 58, 345), (s * 58, 54, 314), (s * 122, 34, 288)), (22, 17, 14))
        add_tube(field, grid, ((s * 60, 62, 296), (s * 112, 40, 281)), (14, 12))  # supraspinatus
        add_tube(field, grid, ((s * 38, 22, 335), (s * 50, 18, 292)), (15, 9))  # scalenes
        add_tube(field, grid, ((s * 20, -56, 262), (s * 30, -40, 290), (s * 46, -24, 335)), (7, 9, 10))
        add_tube(field, grid, ((s * 24, -52, 266), (s * 37, -34, 292), (s * 54, -18, 335)), (5, 7, 8))
        add_ellipsoid(field, grid, (s * 146, 6, 282), (24, 40, 40))  # deltoid
    return field


def paint_muscles(hu: Array, grid: Grid, thorax: Thorax, strands: Array) -> None:
    """Paint the flat muscles, the erectors of the spine, and the muscles of neck and shoulder."""
    field = muscle_layers(grid, thorax)
    behind_mm = grid.y_mm - profile(grid.z_mm, SPINE_Y_MM)
    erector = ellipsoid_mm((np.abs(grid.x_mm) - 25.0, behind_mm - 40.0), (24.0, 17.0))
    field = np.minimum(field, erector)
    field = np.minimum(field, shoulder_muscles(grid))
    field = np.maximum(field, thorax.body_mm + 7.0)
    paint(hu, occupancy(field), MUSCLE_HU + 7.0 * strands)


def rib_height(number: int, course: Array) -> Array:
    """Return the height of a rib's axis (mm) along its course: 0 at the spine, 1 at the sternum."""
    fall_mm = np.interp(number, (1, 2, 7, 12), (36.0, 62.0, 104.0, 90.0))
    rise_mm = np.interp(number, (1, 4, 7, 10), (0.0, 16.0, 44.0, 60.0))
    falling = 303.0 - 24.0 * (number - 1) - fall_mm * np.sin(np.clip(course / 0.8, 0, 1) * np.pi / 2)
    return np.asarray(falling + rise_mm * smooth_step(course, 0.74, 1.0))


def rib_fields(grid: Grid, thorax: Thorax) -> tuple[Array, Array]:
    """Return the distances to the bony ribs and to their cartilages.

    A rib is a curve on the chest wall which leaves the spine, descends to its lowest point near the front
    and rises again, as cartilage, to the sternum. Ribs 8 to 12 end on the way.
    """
    ribs, cartilage = empty_field(), empty_field()
    shell = np.nonzero((thorax.wall_mm > -1.0) & (thorax.wall_mm < 13.0))
    depth = thorax.wall_mm[shell]
    course = (thorax.angle_deg[shell] + 38.0) / 250.0  # 0 at the spine, 1 at the sternum
    level = grid.z_mm[shell] - np.where(grid.x_mm[shell] < 0.0, 3.0, 0.0)
    bone_mm, soft_mm = np.full(depth.shape, FAR_MM), np.full(depth.shape, FAR_MM)
    for number in range(1, 13):
        end = np.interp(number, (1, 7, 8, 10, 11, 12), (0.80, 0.76, 0.72, 0.64, 0.5, 0.36))
        across = 0.92 * (level - rib_height(number, course)) / 6.2
        distance = (np.sqrt(((depth - 4.8) / 3.7) ** 2 + across**2) - 1.0) * 3.7
        beyond = np.maximum(course - end, -0.01 - course) * 300.0
        bone_mm = np.minimum(bone_mm, np.maximum(distance, beyond))
        if number <= 9:
            last = 1.0 if number <= 7 else 0.93
            soft = np.maximum(distance, np.maximum(-beyond, (course - last) * 300.0))
            soft_mm = np.minimum(soft_mm, soft)
    ribs[shell], cartilage[shell] = bone_mm, soft_mm
    return ribs, cartilage


def sternum_field(grid: Grid) -> Array:
    """Return the distance to the manubrium and the body of the sternum."""
    x, z = grid.x_mm, grid.z_mm
    front = profile(z, ((100, -86), (150, -86), (200, -82), (230, -75), (265, -58)))
    half_width = profile(z, ((104, 3), (125, 9), (150, 17), (205, 15), (222, 19), (240, 27), (268, 20)))
    plate = ellipsoid_mm((x - 1.0, grid.y_mm - front), (half_width, 6.0 + 0.0 * z))
    joint = 1.6 - np.abs(z - 221.0)  # the sternal angle
    return np.maximum(np.maximum(plate, joint), np.maximum(z - 266.0, 106.0 - z))


def shoulder_field(grid: Grid, thorax: Thorax) -> Array:
    """Return the distance to the scapulae and clavicles."""
    x, z, depth, angle = np.abs(grid.x_mm), grid.z_mm, thorax.wall_mm, thorax.angle_deg
    medial = profile(z, ((165, 48), (190, 34), (230, 22), (275, 16), (300, 20)))
    lateral = profile(z, ((165, 56), (200, 70), (240, 88), (268, 98), (300, 90)))
    edge = np.maximum(medial - angle, angle - lateral) * 1.6
    bow = 24.0 + 5.0 * ((angle - 0.5 * (medial + lateral)) / 40.0) ** 2
    blade = np.maximum(np.maximum(np.abs(depth - bow) - 1.5, edge), np.maximum(167.0 - z, z - 294.0))
    rim = np.sqrt((depth - bow) ** 2 + (angle - lateral) ** 2 * 2.2) - 4.2  # the thick lateral border
    rim = np.maximum(rim, np.maximum(175.0 - z, z - 262.0))
    crest = np.abs(z - 262.0 - 0.8 * (x - 100.0)) * 0.75 - 3.0  # the spine of the scapula
    crest = np.maximum(crest, np.maximum(np.maximum(bow - depth, depth - bow - 22.0), edge))
    knobs = empty_field()
    for s in (RIGHT, LEFT):
        add_ellipsoid(knobs, grid, (s * 124, 14, 268), (11, 14, 17))  # glenoid
        add_tube(knobs, grid, ((s * 118, 2, 278), (s * 112, -18, 284), (s * 116, -34, 278)), (6, 5.5, 5))
        clavicle = ((s * 19, -66, 263), (s * 45, -66, 272), (s * 85, -42, 284), (s * 140, -14, 296))
        add_tube(knobs, grid, clavicle, (9.5, 6.5, 6, 6))
    return np.minimum(np.minimum(np.minimum(blade, rim), crest), knobs)


def paint_bone(hu: Array, distance_mm: Array, cortex_mm: float, trabeculae: Array) -> None:
    """Paint a bone: marrow inside a cortex of the given thickness."""
    paint(hu, occupancy(distance_mm), CORTEX_HU)
    paint(hu, occupancy(distance_mm + cortex_mm), MARROW_HU + 35.0 * trabeculae)


def paint_skeleton(hu: Array, grid: Grid, thorax: Thorax, texture: Array) -> None:
    """Paint ribs, cartilages, sternum, shoulder girdle and spine."""
    ribs, cartilage = rib_fields(grid, thorax)
    paint(hu, occupancy(cartilage), CARTILAGE_HU)
    paint_bone(hu, ribs, 1.7, texture)
    paint_bone(hu, sternum_field(grid), 1.2, texture)
    paint_bone(hu, np.maximum(shoulder_field(grid, thorax), thorax.body_mm + 6.0), 1.7, texture)
    bone, canal, disc = spine_parts(grid)
    paint_bone(hu, bone, 1.3, texture)
    paint(hu, disc, 85.0)
    paint(hu, occupancy(canal), 22.0)
    y = grid.y_mm - profile(grid.z_mm, SPINE_Y_MM)
    paint(hu, occupancy(ellipsoid_mm((grid.x_mm, y - 19.0), (5.0, 4.2))), 42.0)  # the cord


# --------------------------------------------------------------------------- organs


def abdominal_organs(grid: Grid, room_mm: Array, spine_mm: Array) -> tuple[Array, ...]:
    """Return the distances to kidneys, spleen, liver, stomach and colon, fitted into the room they have."""
    x, y = grid.x_mm, grid.y_mm
    stomach, spleen, kidney, left_lobe = (empty_field() for _ in range(4))
    add_ellipsoid(stomach, grid, (58, -12, 64), (42, 46, 36))
    add_ellipsoid(spleen, grid, (104, 40, 56), (25, 44, 44))
    add_ellipsoid(kidney, grid, (58, 54, 8), (26, 24, 30))
    add_ellipsoid(kidney, grid, (-58, 56, -6), (26, 24, 28))
    add_ellipsoid(left_lobe, grid, (6, -46, 66), (58, 32, 46))
    flexure = ((110, 0, -10), (106, -22, 22), (92, -44, 36), (66, -62, 24), (40, -70, -10))
    colon = tubes(grid, [(flexure, (15, 15, 15, 15, 15))])
    right_lobe = x + 0.3 * y + 12.0 + 0.006 * (y - 10.0) ** 2 + 5.0 * np.sin(grid.z_mm / 23.0)
    liver = np.maximum(room_mm, smooth_min(left_lobe, right_lobe, 10.0))
    liver = np.maximum(liver, np.maximum(8.0 - spine_mm, 4.0 - kidney))
    spleen = np.maximum(spleen, room_mm)
    stomach = np.maximum(np.maximum(stomach, room_mm + 2.0), np.maximum(3.0 - spleen, 3.0 - liver))
    colon = np.maximum(np.maximum(colon, room_mm + 2.0), 2.0 - stomach)
    return kidney, spleen, liver, stomach, colon


def paint_abdomen(hu: Array, grid: Grid, thorax: Thorax, spine_mm: Array, texture: Array) -> None:
    """Paint diaphragm, solid organs, and stomach and colon with the gas in front of their contents."""
    room = np.maximum(thorax.wall_mm + 4.0, 0.75 * thorax.above_mm + 3.5)
    below = np.maximum(thorax.wall_mm, 0.75 * thorax.above_mm)
    diaphragm = np.maximum(np.maximum(below, -room), -spine_mm)
    paint(hu, occupancy(diaphragm), 46.0)
    organs = abdominal_organs(grid, room, spine_mm)
    for field, value in zip(organs, (32.0, 50.0, 60.0, 45.0, 40.0), strict=True):
        paint(hu, occupancy(field), value + 3.0 * texture)
    stomach, colon = organs[3] + 4.0, organs[4] + 2.5  # within their walls
    paint(hu, occupancy(stomach), 24.0 + 22.0 * texture)
    paint(hu, occupancy(np.maximum(stomach, grid.y_mm + 26.0)), -985.0)
    paint(hu, occupancy(colon), -120.0 + 170.0 * texture)
    paint(hu, occupancy(np.maximum(colon, grid.y_mm + 40.0)), -960.0)


HEPATIC_VEINS: tuple[Tube, ...] = (
    (((-24, 4, 92), (-50, 4, 84), (-84, 14, 66), (-104, 20, 50)), (6, 5, 4, 2.5)),
    (((-24, 0, 94), (-40, -26, 84), (-56, -52, 66)), (5.5, 4.5, 3)),
    (((-20, -4, 92), (-4, -32, 80), (10, -56, 68)), (5, 4, 2.5)),
    (((-30, -6, 20), (-48, -4, 44), (-84, -10, 40), (-100, -24, 36)), (7, 6, 4, 2.5)),
)
ABDOMINAL_CORDS: tuple[Tube, ...] = (
    (((-10, 20, 70), (-13, 32, 40), (-15, 40, -10)), (3, 6, 7)),  # right crus
    (((18, 18, 74), (24, 32, 40), (22, 42, -10)), (3, 5, 6)),
    (((84, 26, 44), (66, 36, 36), (44, 26, 30), (24, 14, 16)), (3, 3.5, 4, 4)),  # splenic vein
    (((30, 44, 44), (34, 38, 26), (38, 46, 16)), (2.2, 3, 2.2)),  # left adrenal
    (((34, 38, 28), (30, 50, 16)), (2.5, 2)),
    (((-24, 36, 40), (-28, 48, 20)), (2.2, 2.2)),
    (((34, 4, 78), (30, -8, 50), (22, -14, 20)), (2, 2, 2)),  # left gastric vessels
)


def paint_abdominal_cords(hu: Array, grid: Grid) -> None:
    """Paint the hepatic veins (a little darker than the liver), the crura, adrenals and splenic vein."""
    paint(hu, 0.8 * occupancy(tubes(grid, HEPATIC_VEINS)), 36.0)
    paint(hu, occupancy(tubes(grid, ABDOMINAL_CORDS)), BLOOD_HU)


NODES: tuple[Point, ...] = ((-14, 2, 222), (-16, 4, 232), (24, 2, 222), (4, 20, 200), (-8, 24, 194))


def paint_mediastinum(hu: Array, grid: Grid, thorax: Thorax, heart_mm: Array, strands: Array) -> None:
    """Paint the heart within its fat and pericardium, lymph nodes and thyroid."""
    inside = occupancy(np.maximum(thorax.wall_mm, -0.75 * thorax.above_mm))
    paint(hu, inside, FAT_HU + 12.0 * strands)
    pericardium = np.abs(heart_mm - 4.2) - 0.7
    paint(hu, 0.65 * inside * occupancy(pericardium), 30.0)
    paint(hu, inside * occupancy(heart_mm), BLOOD_HU + 4.0)
    valves = 0.75 * (grid.x_mm - 8.0) - 0.45 * (grid.y_mm + 22.0) - 0.5 * (grid.z_mm - 140.0)
    sulcus = np.maximum(np.abs(valves) - 4.5 + 0.5 * np.clip(-heart_mm, 0.0, None), heart_mm)
    paint(hu, 0.85 * inside * occupancy(sulcus), -80.0)
    nodes, thyroid = empty_field(), empty_field()
    for place in NODES:
        add_ellipsoid(nodes, grid, place, (4.0, 3.2, 5.0))
    paint(hu, occupancy(nodes), 34.0)
    for s in (RIGHT, LEFT):
        add_ellipsoid(thyroid, grid, (s * 17, 0, 316), (9, 12, 20))
    paint(hu, occupancy(thyroid), 110.0)


def paint_airway(hu: Array, lumen_mm: Array, wall_mm: float) -> None:
    """Paint a bronchus: an air-filled lumen in a wall of the given thickness."""
    paint(hu, occupancy(lumen_mm - wall_mm), 10.0)
    paint(hu, occupancy(lumen_mm), AIR_HU + 20.0)


# --------------------------------------------------------------------------- lungs


def sample_points(rng: np.random.Generator, grid: Grid, where: Mask, count: int) -> Array:
    """Return the coordinates (mm) of ``count`` random voxels of ``where``."""
    chosen = rng.choice(np.flatnonzero(where), size=count, replace=False)
    return np.stack([axis.ravel()[chosen] for axis in (grid.x_mm, grid.y_mm, grid.z_mm)], axis=1)


def grow_tree(trunks: Sequence[Sequence[Point]], targets_mm: Array, leaf_mm: float, power: float) -> Tree:
    """Grow a tree from given trunks to the targets, trading short branches against short ways to the root.

    Parameters
    ----------
    trunks : sequence of sequences of points
        Polylines (mm); the first point of each is a root.
    targets_mm : Array
        Points to reach, of shape (n, 3).
    leaf_mm, power : float
        Radius of a last branch, and the power of the leaves it feeds by which a branch is wider.
    """
    fixed = np.concatenate([np.array(trunk, dtype=float) for trunk in trunks])
    starts = np.cumsum([0] + [len(trunk) for trunk in trunks[:-1]])
    parents = np.arange(len(fixed)) - 1
    parents[starts] = -1
    grown_mm, grown_parents = _join_targets(fixed, parents, targets_mm)
    straight_mm = _straightened(grown_mm, grown_parents, len(fixed))
    return Tree(straight_mm, grown_parents, _fed_radii(grown_parents, leaf_mm, power))


def _join_targets(nodes_mm: Array, parents: Indices, targets_mm: Array) -> tuple[Array, Indices]:
    """Return the nodes and parents after every target was joined, the one of least cost next."""
    first, count = len(nodes_mm), len(targets_mm)
    nodes, owners = (
        np.concatenate([nodes_mm, np.zeros((count, 3))]),
        np.concatenate([parents, np.zeros(count, int)]),
    )
    ways_mm = np.zeros(first + count)
    costs, nearest = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
    waiting = np.ones(count, dtype=bool)
    for node in range(first + count):
        if node >= first:
            chosen = int(np.argmin(np.where(waiting, costs, np.inf)))
            waiting[chosen] = False
            nodes[node], owners[node] = targets_mm[chosen], nearest[chosen]
        if owners[node] >= 0:
            ways_mm[node] = ways_mm[owners[node]] + np.linalg.norm(nodes[node] - nodes[owners[node]])
        through = np.linalg.norm(targets_mm - nodes[node], axis=1) + DETOUR_COST * ways_mm[node]
        closer = through < costs
        costs[closer], nearest[closer] = through[closer], node
    return nodes, owners


def _straightened(nodes_mm: Array, parents: Indices, fixed: int) -> Array:
    """Return the nodes, each but the first ``fixed`` and the leaves drawn between its parent and children."""
    heirs = np.bincount(parents[parents >= 0], minlength=len(parents))
    moving = np.flatnonzero((heirs > 0) & (np.arange(len(parents)) >= fixed))
    nodes = nodes_mm.copy()
    for _ in range(2):
        total = np.zeros_like(nodes)
        np.add.at(total, parents[parents >= 0], nodes[parents >= 0])
        children = total[moving] / heirs[moving, None]
        nodes[moving] = 0.4 * nodes[moving] + 0.3 * nodes[parents[moving]] + 0.3 * children
    return nodes


def _fed_radii(parents: Indices, leaf_mm: float, power: float) -> Array:
    """Return the radius of each node from the number of leaves it feeds."""
    leaves = np.zeros(len(parents))
    for node in range(len(parents) - 1, -1, -1):
        leaves[node] = max(leaves[node], 1.0)
        if parents[node] >= 0:
            leaves[parents[node]] += leaves[node]
    return np.asarray(leaf_mm * leaves**power)


def tree_field(grid: Grid, tree: Tree, rng: np.random.Generator, widest_mm: float) -> Array:
    """Return the distance to a tree, each of its branches slightly bent."""
    field = empty_field()
    for node, parent in enumerate(tree.parents):
        if parent < 0:
            continue
        start, end = tree.nodes_mm[parent], tree.nodes_mm[node]
        bend = 0.07 * float(np.linalg.norm(end - start)) * rng.normal(size=3)
        middle = 0.5 * (start + end) + bend
        wide = min(float(tree.radii_mm[node]) * 1.12, float(tree.radii_mm[parent]), widest_mm)
        slim = min(float(tree.radii_mm[node]), widest_mm)
        add_capsule(field, grid, start, middle, (wide, slim))
        add_capsule(field, grid, middle, end, (slim, slim))
    return field


def lung_vessels(grid: Grid, thorax: Thorax, rng: np.random.Generator) -> Array:
    """Return the distance to the pulmonary arteries and veins of both lungs."""
    field = empty_field()
    inner = thorax.lung_mm < -4.5
    for side in (RIGHT, LEFT):
        where = inner & (side * grid.x_mm > 0.0)
        arteries = [
            [(side * 42, 8, 196), (side * 52, 18, 178), (side * 57, 30, 152), (side * 62, 40, 122)],
            [(side * 42, 6, 200), (side * 48, 4, 220), (side * 52, 10, 242)],
            [(side * 44, 4, 192), (side * 62, -20, 180)],
        ]
        veins = [
            [(side * 38, 12, 160), (side * 50, 22, 148), (side * 58, 34, 128)],
            [(side * 38, -4, 180), (side * 46, -14, 200), (side * 50, -18, 222)],
            [(side * 38, -6, 174), (side * 56, -36, 162)],
        ]
        for trunks in (arteries, veins):
            tree = grow_tree(trunks, sample_points(rng, grid, where, 900), 0.7, 0.355)
            field = np.minimum(field, tree_field(grid, tree, rng, 6.5))
    return field


def lung_airways(grid: Grid, thorax: Thorax, dense: Array, rng: np.random.Generator) -> Array:
    """Return the distance to the lumen of the smaller bronchi, among them those in consolidations."""
    field = empty_field()
    for side in (RIGHT, LEFT):
        own = side * grid.x_mm > 0.0
        central = own & (thorax.lung_mm < -20.0)
        opened = own & (dense > 0.6) & (thorax.lung_mm < -7.0)
        targets = [sample_points(rng, grid, central, 75), sample_points(rng, grid, opened, 34)]
        trunks = [
            [(side * 40, 19, 186), (side * 49, 24, 170), (side * 54, 33, 148), (side * 58, 42, 122)],
            [(side * 38, 18, 192), (side * 46, 12, 206), (side * 50, 12, 228)],
            [(side * 48, 20, 174), (side * 62, -10, 166)],
        ]
        tree = grow_tree(trunks, np.concatenate(targets), 1.05, 0.32)
        field = np.minimum(field, tree_field(grid, tree, rng, 4.6))
    return field


def septa(grid: Grid, thorax: Thorax, rng: np.random.Generator) -> Array:
    """Return a mesh of interlobular septa (0..1): the borders between cells about 13 mm wide."""
    mesh = np.zeros(thorax.lung_mm.shape)
    near = (thorax.lung_mm < 1.0) & (thorax.wall_mm > -45.0)
    seeds = sample_points(rng, grid, thorax.lung_mm < 2.0, 3600)
    points = np.stack([axis[near] for axis in (grid.x_mm, grid.y_mm, grid.z_mm)], axis=1)
    first, second = cKDTree(seeds).query(points, k=2)[0].T
    mesh[near] = np.exp(-(((second - first) / 1.5) ** 2))
    return mesh


def lesion_strength(grid: Grid, thorax: Thorax, foci: Sequence[tuple[float, ...]], noise: Array) -> Array:
    """Return how strongly each place belongs to a lesion: 1 in the middle of a focus, 0 at its rim.

    Each focus is given as side, direction (degrees), z, extent along the wall, extent in z, depth below the
    pleura and half thickness (all but the direction in mm). It is bent along the chest wall.
    """
    depth = thorax.depth_mm
    strength = np.full(depth.shape, -2.0)
    for side, angle, level, along_mm, up_mm, depth_mm, thick_mm in foci:
        arc = 1.35 * (thorax.angle_deg - angle) / along_mm
        norm = arc**2 + ((grid.z_mm - level) / up_mm) ** 2 + ((depth - depth_mm) / thick_mm) ** 2
        focus = np.where(side * grid.x_mm > 0.0, 1.0 - np.sqrt(norm), -2.0)
        strength = np.maximum(strength, focus)
    return strength + noise


GGO_FOCI = (
    (RIGHT, 38, 128, 62, 40, 6, 34),
    (RIGHT, 95, 118, 44, 26, 4, 22),
    (RIGHT, 62, 190, 46, 26, 4, 24),
    (RIGHT, 112, 226, 30, 18, 4, 17),
    (RIGHT, 20, 236, 32, 20, 6, 20),
    (RIGHT, 140, 158, 22, 14, 8, 13),
    (LEFT, 30, 112, 66, 44, 5, 34),
    (LEFT, 92, 150, 40, 28, 4, 20),
    (LEFT, 50, 205, 44, 24, 5, 22),
    (LEFT, 128, 196, 20, 14, 7, 13),
    (LEFT, 10, 250, 24, 16, 8, 16),
)
CONSOLIDATION_FOCI = (
    (RIGHT, 28, 112, 56, 34, 2, 22),
    (RIGHT, 66, 136, 22, 14, 2, 10),
    (LEFT, 18, 92, 52, 36, 3, 22),
    (LEFT, 60, 112, 24, 16, 2, 11),
    (LEFT, 46, 200, 16, 9, 3, 8),
)


def fissures(grid: Grid) -> Array:
    """Return how much of each voxel is a fissure: both oblique ones and the right horizontal one."""
    x, y, z = grid.x_mm, grid.y_mm, grid.z_mm
    right = z - 172.0 - 1.05 * y + 0.05 * x
    left = z - 180.0 - 1.2 * y - 0.05 * x
    oblique = np.where(x < 0.0, right / 1.45, left / 1.56)
    minor = np.where((x < 0.0) & (right > 0.0), z - 178.0 - 0.12 * (x + 80.0) - 0.1 * y, FAR_MM)
    return np.maximum(np.exp(-((oblique / 1.1) ** 2)), np.exp(-((minor / 1.6) ** 2)))


def paint_lungs(hu: Array, grid: Grid, thorax: Thorax, rng: np.random.Generator) -> tuple[Array, Array]:
    """Paint effusion, lung tissue and lesions, vessels and airways; return GGO and consolidation shares."""
    fine, coarse, patchy = (smooth_noise(rng, sigma_mm) for sigma_mm in (1.8, 5.0, 9.0))
    hazy = lesion_strength(grid, thorax, GGO_FOCI, 0.3 * patchy + 0.12 * coarse)
    solid = lesion_strength(grid, thorax, CONSOLIDATION_FOCI, 0.24 * patchy + 0.12 * coarse)
    ggo, dense = smooth_step(hazy, -0.02, 0.45), smooth_step(solid, 0.0, 0.22)
    mesh = septa(grid, thorax, rng)
    tissue = -900.0 + 0.33 * (grid.y_mm + 80.0) + 9.0 * coarse + 16.0 * fine
    tissue += 130.0 * fissures(grid) + 45.0 * mesh * smooth_step(thorax.wall_mm, -30.0, -8.0)
    paint(tissue, ggo, -585.0 + 45.0 * coarse + 25.0 * fine + 110.0 * mesh)
    paint(tissue, occupancy(lung_vessels(grid, thorax, rng)), BLOOD_HU)
    paint(tissue, dense, 30.0 + 8.0 * fine)
    paint_airway(tissue, lung_airways(grid, thorax, dense, rng), 1.1)
    paint(hu, occupancy(thorax.effusion_mm), 13.0)
    paint(hu, occupancy(thorax.lung_mm), tissue)
    return ggo, dense


# --------------------------------------------------------------------------- scanner


def paint_table(hu: Array) -> None:
    """Paint the couch: a mat and two thin curved shells around foam, below the patient."""
    x = FIRST_X_MM + SPACING_MM[0] * np.arange(SHAPE[0])[:, None, None]
    y = FIRST_Y_MM + SPACING_MM[1] * np.arange(SHAPE[1])[None, :, None]
    radius = np.sqrt(x**2 + (y + 270.0) ** 2)
    free = np.clip((-600.0 - hu) / 400.0, 0.0, 1.0)
    paint(hu, free * occupancy(np.abs(radius - 402.0) - 5.0), -915.0)
    paint(hu, free * occupancy(np.abs(radius - 422.0) - 11.0), -940.0)
    for shell_mm in (411.0, 433.0):
        paint(hu, free * occupancy(np.abs(radius - shell_mm) - 0.9), -120.0)


def mean_of_subslices(values: Array) -> Array:
    """Return the stored slices: the means of neighbouring thin ones."""
    return np.asarray(values.reshape(*SHAPE, SUBSLICES).mean(axis=3))


def acquire(hu: Array, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Blur, add reconstruction noise and shoulder streaks, crop to the scanner's field of view, round."""
    image = gaussian_filter(hu, (0.65, 0.65, 0.3))
    tissue = gaussian_filter((image > -400.0).astype(np.float64), (12, 12, 1))
    noise = gaussian_filter(rng.normal(size=SHAPE), (0.75, 0.75, 0.0))
    streaks = gaussian_filter(rng.normal(size=SHAPE), (16.0, 0.8, 0.0))
    level_mm: Array = (np.arange(SHAPE[2], dtype=np.float64) + 0.5) * SPACING_MM[2]
    shoulders = smooth_step(level_mm, 262.0, 295.0)
    image += (6.0 + 12.0 * tissue) * noise / noise.std()
    image += 11.0 * shoulders * tissue * streaks / streaks.std()
    x, y = np.ogrid[: SHAPE[0], : SHAPE[1]]
    outside = (x - 127.5) ** 2 + (y - 127.5) ** 2 > 128.0**2
    image[outside] = HU_MIN
    rounded = np.clip(HU_STEP * np.rint(image / HU_STEP), HU_MIN, HU_MAX)
    return np.asarray(rounded, dtype=np.int16)


def make_labels(thorax: Thorax, ggo: Array, dense: Array) -> tuple[Labels, Labels]:
    """Return the lung mask and the lesion map of the stored slices."""
    filled = mean_of_subslices(occupancy(thorax.lung_mm)) > 0.5
    lung = without_specks(filled.astype(np.uint8), 200) > 0
    fluid = (mean_of_subslices(occupancy(thorax.effusion_mm)) > 0.75) & ~lung
    lesion = np.zeros(SHAPE, dtype=np.uint8)
    lesion[lung & (mean_of_subslices(ggo) > 0.45)] = GGO
    lesion[lung & (mean_of_subslices(dense) > 0.5)] = CONSOLIDATION
    lesion[fluid] = EFFUSION
    return lung.astype(np.uint8), without_specks(lesion, 12)


def without_specks(labels: Labels, least_voxels: int) -> Labels:
    """Return the label map without connected regions of fewer than ``least_voxels``."""
    cleaned = labels.copy()
    regions = connected_regions(labels, connectivity=1)
    cleaned[np.bincount(regions.ravel())[regions] < least_voxels] = 0
    return cleaned


def make_sample() -> tuple[npt.NDArray[np.int16], Labels, Labels]:
    """Return the CT (HU), the lesion map and the lung mask."""
    rng = np.random.default_rng(SEED)
    grid = make_grid(rng)
    strands, texture = smooth_noise(rng, 4.0), smooth_noise(rng, 2.2)
    heart = heart_field(grid)
    vessels, airways, esophagus = (tubes(grid, t) for t in (GREAT_VESSELS, MAIN_AIRWAYS, ESOPHAGUS))
    spine = np.minimum(*spine_parts(grid)[:2])  # closed: bone and canal
    organs = ((heart, 5.5), (vessels, 2.0), (airways, 3.0), (esophagus, 1.5), (spine, 4.0))
    thorax = build_thorax(grid, mediastinum_field(grid, organs))
    hu = np.full(thorax.body_mm.shape, AIR_HU)
    paint_body(hu, thorax, strands)
    paint_muscles(hu, grid, thorax, strands)
    paint_mediastinum(hu, grid, thorax, heart, strands)
    paint_abdomen(hu, grid, thorax, spine, texture)
    paint_abdominal_cords(hu, grid)
    paint(hu, occupancy(vessels), BLOOD_HU)
    paint(hu, occupancy(esophagus), 34.0)
    paint_skeleton(hu, grid, thorax, texture)
    ggo, dense = paint_lungs(hu, grid, thorax, rng)
    paint_airway(hu, airways, 1.4)
    paint_table(hu)
    lung, lesion = make_labels(thorax, ggo, dense)
    return acquire(mean_of_subslices(hu), rng), lesion, lung


def save_nifti(path: Path, values: npt.NDArray[np.int16] | Labels) -> None:
    """Write an array with voxel axes L, P, S as NIfTI-1, the same bytes every time."""
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = ORIGIN_RAS_MM
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))


def main() -> None:
    """Make the sample and write its three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="where to write")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    ct, lesion, lung = make_sample()
    save_nifti(folder / "sample_ct.nii.gz", ct)
    save_nifti(folder / "sample_lesion.nii.gz", lesion)
    save_nifti(folder / "sample_lung.nii.gz", lung)


if __name__ == "__main__":
    main()
