"""The main job in the real window, with the weights that ship: nothing here is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.io import sample_lesion, sample_scan
from napari_covseg.networks import checkpoint

CTRL = Qt.KeyboardModifier.ControlModifier
FEW_SLICES = (38, 42)
"""Slice numbers of the sample where all three classes are."""


@pytest.fixture
def sample(window: Any) -> Any:
    """A window into which the bundled sample came through napari's own menu entry."""
    driver = window()
    driver.viewer.open_sample("napari-covseg", "chest-ct")
    driver.until(lambda: driver.session is not None, 60)
    driver.live(0.3)
    return driver


def _segment(driver: Any, first: int, last: int) -> None:
    driver.tabs.show_panel("Segment")
    panel = driver.tabs.panels["Segment"]
    panel.first.setValue(first)
    panel.last.setValue(last)
    panel.choose_scope("range")
    panel.go.click()
    driver.until(lambda: not driver.bench.runner.busy, 300)


def _export(driver: Any, folder: Path) -> Path:
    written: list[Path] = []
    driver.bench.exported.connect(written.append)
    driver.bench.exports.mask(folder)
    driver.until(lambda: written, 60)
    return written[0]


def test_a_reader_does_the_whole_job_and_finds_it_again_tomorrow(sample: Any, window: Any, tmp_path: Path) -> None:
    driver, session = sample, sample.session
    assert session.geometry.shape == (64, 256, 256)
    _segment(driver, *FEW_SLICES)
    proposed = session.labels.values.copy()
    found = {index for index in range(64) if proposed[index].any()}
    assert found
    assert found <= set(range(FEW_SLICES[0] - 1, FEW_SLICES[1]))
    truth = nib.load(sample_lesion()).get_fdata()[:, :, ::-1].T
    slab = slice(FEW_SLICES[0] - 1, FEW_SLICES[1])
    both = (np.isin(proposed[slab], (1, 2)) & np.isin(truth[slab], (1, 2))).sum()
    assert 2 * both / (np.isin(proposed[slab], (1, 2)).sum() + np.isin(truth[slab], (1, 2)).sum()) > 0.4

    driver.viewer.dims.set_current_step(0, 39)
    driver.key(Qt.Key.Key_S)
    driver.lesions.mode = "paint"
    driver.stroke((60, 60), (60, 90))
    painted = session.labels.values.copy()
    assert (painted != proposed).any(axis=(1, 2)).nonzero()[0].tolist() == [39]
    assert set(painted[painted != proposed]) == {2}
    driver.key(Qt.Key.Key_Z, CTRL)
    assert np.array_equal(session.labels.values, proposed)
    assert np.array_equal(driver.lesions.data, proposed)
    driver.stroke((60, 60), (60, 90))
    assert np.array_equal(session.labels.values, painted)
    driver.key(Qt.Key.Key_R)
    assert session.reviewed == (39,)

    driver.tabs.show_panel("Learn")
    panel = driver.tabs.panels["Learn"]
    panel.steps = 3
    panel.go.click()
    driver.until(lambda: not driver.bench.runner.busy, 300)
    child = next(c for c in checkpoint.known(driver.bench.choice.network) if not c.is_shipped)
    assert child.card.parent_sha256 == checkpoint.find(driver.bench.choice.network).sha256
    panel.verdict.use.click()
    assert driver.bench.choice.checkpoint != child
    QTest.keyClicks(panel.verdict.why, "one slice says little; it draws well")
    QTest.keyClick(panel.verdict.why, Qt.Key.Key_Return)
    assert driver.bench.choice.checkpoint == child

    mask, scan = nib.load(_export(driver, tmp_path / "out")), nib.load(sample_scan())
    assert np.array_equal(mask.affine, scan.affine)
    assert np.array_equal(np.asanyarray(mask.dataobj)[:, :, ::-1].T, painted)

    driver.desk.close()
    again = window()
    again.open(sample_scan())
    assert np.array_equal(again.session.labels.values, painted)
    assert again.session.reviewed == (39,)
    assert np.array_equal(again.lesions.data, painted)
    again.key(Qt.Key.Key_Z, CTRL)
    assert np.array_equal(again.session.labels.values, proposed)


def test_a_real_nifti_volume_goes_in_and_comes_out_on_its_own_grid(
    window: Any, covseg_data: Path, tmp_path: Path
) -> None:
    driver = window()
    path = covseg_data / "volumes" / "lesion_1_ct.nii.gz"
    driver.open(path)
    _segment(driver, 20, 21)
    reference = nib.load(covseg_data / "volumes" / "lesion_1_lesion.nii.gz")
    mask, scan = nib.load(_export(driver, tmp_path)), nib.load(path)
    assert (mask.shape, mask.get_data_dtype()) == (scan.shape, np.uint8)
    assert np.array_equal(mask.affine, scan.affine)
    ours, theirs = (np.isin(np.asanyarray(image.dataobj)[:, :, 24:26], (1, 2)) for image in (mask, reference))
    dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
    mirrored = 2 * (ours[::-1] & theirs).sum() / (ours.sum() + theirs.sum())
    assert dice > 0.5
    assert dice > mirrored + 0.1  # a flipped mask would not pass for a good one
    outside = np.asanyarray(mask.dataobj).copy()
    outside[:, :, 24:26] = 0
    assert not outside.any()


def test_a_real_dicom_series_goes_in_and_comes_out_where_it_was(window: Any, covseg_data: Path, tmp_path: Path) -> None:
    driver = window()
    folder = covseg_data / "dicom" / "lung_dx_a0002"
    driver.open(folder)
    assert driver.session.geometry.shape[0] == 30
    _segment(driver, 15, 15)
    driver.viewer.dims.set_current_step(0, 0)
    driver.key(Qt.Key.Key_D)
    driver.lesions.mode = "paint"
    driver.stroke((200, 100), (200, 140))
    assert (driver.session.labels.values[0] == 3).any()
    mask = SimpleITK.ReadImage(str(_export(driver, tmp_path)))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    scan = reader.Execute()
    painted = np.argwhere(SimpleITK.GetArrayFromImage(mask) == 3)[:, ::-1].tolist()
    in_scan = [scan.TransformPhysicalPointToIndex(mask.TransformIndexToPhysicalPoint(index)) for index in painted]
    apex = max((0, scan.GetSize()[2] - 1), key=lambda k: scan.TransformIndexToPhysicalPoint((0, 0, k))[2])
    strokes = [index for index in in_scan if index[2] == apex]
    assert strokes
    columns, rows = {index[0] for index in strokes}, {index[1] for index in strokes}
    assert min(columns) < 110
    assert max(columns) > 130
    assert min(rows) < 200 < max(rows)
