"""The bundled sample: its files are sound, and its script still makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"
NAMES = ("sample_ct.nii.gz", "sample_lesion.nii.gz", "sample_lung.nii.gz")
GGO, CONSOLIDATION, EFFUSION = 1, 2, 3
POSTERIOR_AXIS = 1

Voxels = npt.NDArray[np.generic]


def voxels(path: Path) -> Voxels:
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def ct() -> Voxels:
    return voxels(FOLDER / "sample_ct.nii.gz")


@pytest.fixture(scope="module")
def lesion() -> Voxels:
    return voxels(FOLDER / "sample_lesion.nii.gz")


@pytest.fixture(scope="module")
def lung() -> Voxels:
    return voxels(FOLDER / "sample_lung.nii.gz")


def volume_ml(mask: Voxels) -> float:
    spacing_mm = nib.load(FOLDER / "sample_ct.nii.gz").header.get_zooms()
    return float(mask.sum() * np.prod(spacing_mm) / 1000.0)


def centroid_mm(mask: Voxels) -> npt.NDArray[np.float64]:
    """Return the centroid in RAS mm."""
    affine = nib.load(FOLDER / "sample_ct.nii.gz").affine
    return np.asarray(nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0)))


@pytest.mark.parametrize(("name", "dtype"), list(zip(NAMES, ("int16", "uint8", "uint8"), strict=True)))
def test_geometry(name: str, dtype: str) -> None:
    image = nib.load(FOLDER / name)
    assert image.shape == (256, 256, 64)
    assert image.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_allclose(image.header.get_zooms(), (1.4, 1.4, 5.0), rtol=1e-6)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_allclose(image.affine[:3, :3], np.diag([-1.4, -1.4, 5.0]), atol=1e-5)
    assert np.all(np.abs(image.affine[:3, 3]) > 100.0)
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("name", NAMES)
def test_sform_and_qform_agree_and_are_scanner_based(name: str) -> None:
    header = nib.load(FOLDER / name).header
    sform, sform_code = header.get_sform(coded=True)
    qform, qform_code = header.get_qform(coded=True)
    assert (sform_code, qform_code) == (1, 1)
    np.testing.assert_allclose(sform, qform, atol=1e-4)


def test_files_are_small_and_reproducibly_packed() -> None:
    assert sum((FOLDER / name).stat().st_size for name in NAMES) <= 5 * 1024**2
    for name in NAMES:
        assert (FOLDER / name).read_bytes()[4:8] == b"\0\0\0\0"  # gzip's time stamp


def test_label_values(lesion: Voxels, lung: Voxels) -> None:
    assert set(np.unique(lesion)) == {0, GGO, CONSOLIDATION, EFFUSION}
    assert set(np.unique(lung)) == {0, 1}


@pytest.mark.parametrize(
    ("label", "least_ml", "most_ml"), [(GGO, 250, 900), (CONSOLIDATION, 60, 350), (EFFUSION, 100, 500)]
)
def test_lesion_volumes(lesion: Voxels, label: int, least_ml: float, most_ml: float) -> None:
    assert least_ml < volume_ml(lesion == label) < most_ml


def test_both_lungs_are_lung_sized_and_differ(lung: Voxels) -> None:
    right_ml, left_ml = volume_ml(lung[:128] == 1), volume_ml(lung[128:] == 1)
    assert 1200 < right_ml < 3000
    assert 1200 < left_ml < 3000
    assert abs(right_ml - left_ml) > 50


def test_ggo_and_consolidation_lie_inside_the_lung(lesion: Voxels, lung: Voxels) -> None:
    assert np.all(lung[(lesion == GGO) | (lesion == CONSOLIDATION)] == 1)


@pytest.mark.parametrize("label", [GGO, CONSOLIDATION])
def test_lung_lesions_are_bilateral(lesion: Voxels, label: int) -> None:
    assert volume_ml(lesion[:128] == label) > 20
    assert volume_ml(lesion[128:] == label) > 20


def test_effusion_is_right_sided_outside_the_lung_and_dorsal(lesion: Voxels, lung: Voxels) -> None:
    fluid = lesion == EFFUSION
    assert not np.any(lung[fluid])
    assert not np.any(fluid[128:])
    fluid_ras_mm, lung_ras_mm = centroid_mm(fluid), centroid_mm(lung == 1)
    assert fluid_ras_mm[POSTERIOR_AXIS] < lung_ras_mm[POSTERIOR_AXIS] - 30.0  # A is positive in RAS


def test_effusion_tapers_upwards(lesion: Voxels) -> None:
    area_voxels = (lesion == EFFUSION).sum(axis=(0, 1))
    levels = np.flatnonzero(area_voxels)
    widest = int(area_voxels.argmax())
    assert widest < levels.mean()
    assert area_voxels[levels[-1]] < 0.2 * area_voxels[widest]


def test_effusion_lies_within_the_body(ct: Voxels, lesion: Voxels) -> None:
    rows = np.flatnonzero((ct[:, :, 20] > -300).any(axis=0) & (lesion[:, :, 20] == EFFUSION).any(axis=0))
    for row in rows:
        body = np.flatnonzero(ct[:, row, 20] > -300)
        fluid = np.flatnonzero(lesion[:, row, 20] == EFFUSION)
        assert body[0] + 5 < fluid[0]
        assert fluid[-1] < body[-1] - 5


@pytest.mark.parametrize(
    ("label", "least_hu", "most_hu"), [(GGO, -650, -450), (CONSOLIDATION, -60, 40), (EFFUSION, -10, 20)]
)
def test_mean_hu_of_lesions(ct: Voxels, lesion: Voxels, label: int, least_hu: float, most_hu: float) -> None:
    assert least_hu < ct[lesion == label].mean() < most_hu


def test_hu_of_aerated_lung_air_and_bone(ct: Voxels, lesion: Voxels, lung: Voxels) -> None:
    assert -900 < np.median(ct[(lung == 1) & (lesion == 0)]) < -800
    assert ct[0, 0, 0] == ct.min() == -1024  # outside the field of view
    assert 500 < ct.max() < 1600


@pytest.mark.slow
def test_script_makes_the_shipped_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make_sample.py", "--out", tmp_path], check=True)
    for name in NAMES:
        made, shipped = voxels(tmp_path / name), voxels(FOLDER / name)
        assert made.tobytes() == shipped.tobytes(), f"{name}: {np.count_nonzero(made != shipped)} voxels differ"
