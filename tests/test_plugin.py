"""The plugin's files in napari: every grid comes back where it was, in millimetres, and nothing is made up."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import npe2
import numpy as np
import pytest

import napari_covseg
from napari_covseg import plugin
from napari_covseg.io import sample_lesion, sample_lung, sample_scan

MANIFEST = Path(napari_covseg.__file__).with_name("napari.yaml")
LPS = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 5.0, -50], [0, 0, 0, 1]])
RAS = np.array([[2.0, 0, 0, -30], [0, 2.0, 0, -40], [0, 0, 5.0, -50], [0, 0, 0, 1]])
CORONAL = LPS[:, [0, 2, 1, 3]]
TURN = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, 0.1, 0.05))
AFFINES = {"LPS": LPS, "RAS": RAS, "coronal": CORONAL, "oblique": TURN @ LPS}
SHAPE = (12, 10, 6)


@pytest.fixture(autouse=True)
def nothing_opened(monkeypatch):
    monkeypatch.setattr(plugin, "_opened", {})


@pytest.fixture
def manager(monkeypatch):
    """A plugin manager that knows this plugin alone."""
    alone = npe2.PluginManager()
    alone.register(npe2.PluginManifest.from_file(MANIFEST))
    monkeypatch.setattr(npe2.PluginManager, "_PluginManager__instance", alone, raising=False)
    return alone


def write_scan(path: Path, affine=LPS, shape=SHAPE) -> Path:
    hu = np.random.default_rng(1).integers(-1000, 800, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, affine), path)
    return path


def write_mask(path: Path, values, affine=LPS) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=np.uint8), affine), path)
    return path


def read(path: Path) -> plugin.Layer:
    (layer,) = npe2.read([str(path)], stack=False, plugin_name="napari-covseg")
    return layer


def new_labels(scan: plugin.Layer) -> dict:
    """The attributes of what napari's New labels makes of a selected scan."""
    _, attributes, _ = scan
    inherited = {key: attributes[key] for key in ("scale", "units", "axis_labels")}
    return {**inherited, "name": f"{attributes['name']} - Labels", "metadata": {}}


def test_the_manifest_is_valid(manager):
    manifest = manager.get_manifest("napari-covseg")
    assert manifest.display_name == "CovSeg"
    patterns = {pattern for reader in manifest.contributions.readers for pattern in reader.filename_patterns}
    assert patterns == {"*.nii", "*.nii.gz", "*.nrrd", "*.nhdr", "*.mha", "*.mhd", "*.dcm", "*.zip"}
    commands = {command.id for command in manifest.contributions.commands}
    used = {item.command for items in manifest.contributions.menus.values() for item in items}
    assert used <= commands


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_scan_is_shown_in_reading_order_with_its_spacing(manager, tmp_path, affine):
    path = write_scan(tmp_path / "case.nii.gz", affine)
    voxels, attributes, kind = read(path)
    assert kind == "image"
    geometry = attributes["metadata"]["covseg"]["geometry"]
    assert geometry.orientation == "IPL"
    assert voxels.shape == geometry.shape
    assert attributes["scale"] == pytest.approx(geometry.spacing_mm)
    stored = np.asarray(nib.load(path).dataobj)
    index = (1, 2, 3)
    at_home = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), geometry.to_mm(index))).astype(int)
    assert voxels[index] == stored[tuple(at_home)]


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_painted_labels_come_back_in_the_same_millimetres(manager, tmp_path, affine):
    path = write_mask(tmp_path / "case_lesion.nii.gz", np.zeros(SHAPE), affine)
    values, attributes, kind = read(path)
    assert kind == "labels"
    values[2, 3, 4] = 2  # napari's brush writes into the layer's own array
    spot_mm = attributes["metadata"]["covseg"]["geometry"].to_mm((2, 3, 4))
    out = tmp_path / "out.nii.gz"
    assert npe2.write(str(out), [(values, attributes, "labels")]) == [str(out)]
    image = nib.load(out)
    assert np.array_equal(image.affine, nib.load(path).affine)
    assert image.shape == SHAPE
    (index,) = np.argwhere(np.asarray(image.dataobj) == 2)
    assert nib.affines.apply_affine(image.affine, index) == pytest.approx(spot_mm, abs=1e-3)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_new_labels_take_the_grid_of_the_scan_they_were_made_on(tmp_path, affine):
    scan = plugin.read(str(write_scan(tmp_path / "case.nii.gz", affine)))[0]
    values = np.zeros(scan[0].shape, dtype=np.int64)
    values[2, 3, 4] = 1
    (out,) = plugin.write(str(tmp_path / "new.nii.gz"), values, new_labels(scan))
    image = nib.load(out)
    (index,) = np.argwhere(np.asarray(image.dataobj))
    spot_mm = scan[1]["metadata"]["covseg"]["geometry"].to_mm((2, 3, 4))
    assert nib.affines.apply_affine(image.affine, index) == pytest.approx(spot_mm, abs=1e-3)
    assert np.allclose(image.affine, affine, atol=1e-5)


def test_new_labels_of_nobodys_scan_are_refused(tmp_path):
    scan = plugin.read(str(write_scan(tmp_path / "case.nii.gz")))[0]
    values = np.zeros(scan[0].shape, dtype=np.uint8)
    for changed in ({"name": "Labels"}, {"name": "other - Labels"}, {"scale": (1.0, 1.0, 1.0)}):
        with pytest.raises(OSError, match="Nothing tells which scan"):
            plugin.write(str(tmp_path / "new.nii.gz"), values, {**new_labels(scan), **changed})
    assert not (tmp_path / "new.nii.gz").exists()


def test_new_labels_that_could_be_of_two_scans_are_refused(tmp_path):
    (tmp_path / "b").mkdir()
    plugin.read(str(write_scan(tmp_path / "case.nii.gz")))
    away = LPS.copy()
    away[2, 3] += 7
    scan = plugin.read(str(write_scan(tmp_path / "b" / "case.nii.gz", away)))[0]
    with pytest.raises(OSError, match="could belong to 2 scans"):
        plugin.write(str(tmp_path / "new.nii.gz"), np.zeros(scan[0].shape, np.uint8), new_labels(scan))


def test_the_same_scan_opened_twice_is_one_scan(tmp_path):
    path = write_scan(tmp_path / "case.nii.gz")
    plugin.read(str(path))
    attributes = new_labels(plugin.read(str(path))[0])
    attributes["name"] = "case [1] - Labels"
    assert plugin.write(str(tmp_path / "new.nii.gz"), np.zeros((6, 10, 12), np.uint8), attributes)


@pytest.mark.parametrize("value", [-1, 256])
def test_labels_that_a_mask_cannot_hold_are_refused(tmp_path, value):
    values, attributes, _ = plugin.read(str(write_mask(tmp_path / "a_lesion.nii.gz", np.zeros(SHAPE))))[0]
    values = values.astype(np.int32)
    values[0, 0, 0] = value
    with pytest.raises(OSError, match=r"outside 0…255"):
        plugin.write(str(tmp_path / "out.nii.gz"), values, attributes)


def test_a_cropped_layer_is_refused(tmp_path):
    values, attributes, _ = plugin.read(str(write_mask(tmp_path / "a_lesion.nii.gz", np.zeros(SHAPE))))[0]
    with pytest.raises(OSError, match="no longer has its scan's shape"):
        plugin.write(str(tmp_path / "out.nii.gz"), values[1:], attributes)


def test_few_whole_values_are_labels_a_ct_is_an_image_and_grey_values_are_neither(tmp_path):
    mask = np.random.default_rng(0).integers(0, 4, SHAPE)
    assert plugin.read(str(write_mask(tmp_path / "unnamed.nii.gz", mask)))[0][2] == "labels"
    assert plugin.read(str(write_scan(tmp_path / "case.nii.gz")))[0][2] == "image"
    grey = np.random.default_rng(0).integers(0, 200, SHAPE)
    with pytest.raises(ValueError, match="8-bit picture"):
        plugin.read(str(write_mask(tmp_path / "grey.nii.gz", grey)))


def test_folders_and_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("no slices here")
    assert plugin.get_reader(str(tmp_path)) is None
    assert plugin.get_reader(str(tmp_path / "slice.png")) is None
    assert plugin.get_reader([str(tmp_path / "a.nii.gz")]) is None
    (tmp_path / "slice.png").write_bytes(b"")
    assert plugin.get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_programs_scans_and_label_maps_open_too(manager, tmp_path, suffix):
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    hu = np.random.default_rng(1).integers(-1000, 800, SHAPE).astype(np.int16)
    for voxels, kind in ((hu, "image"), ((hu > 0).astype(np.uint8), "labels")):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), tmp_path / f"case{suffix}")
        assert read(tmp_path / f"case{suffix}")[2] == kind


def test_a_damaged_file_is_a_sentence(manager, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"not gzip")
    with pytest.raises(ValueError, match=r"bad\.nii\.gz cannot be read"):
        read(tmp_path / "bad.nii.gz")


def test_a_dicom_folder_opens_and_an_odd_one_says_why(covseg_data):
    folder = covseg_data / "dicom"
    reader = plugin.get_reader(str(folder / "lung_dx_a0002"))
    assert reader is not None
    ((voxels, attributes, kind),) = reader(str(folder / "lung_dx_a0002"))
    assert (voxels.shape, kind) == ((30, 512, 512), "image")
    assert attributes["scale"] == pytest.approx((8.0, 0.6465, 0.6465), abs=1e-3)
    odd = plugin.get_reader(str(folder / "odd_nm"))
    assert odd is not None
    with pytest.raises(ValueError, match="odd_nm"):
        odd(str(folder / "odd_nm"))


def test_the_sample_is_a_scan_with_its_lesions():
    scan, lesion = plugin.sample()
    assert (scan[2], lesion[2]) == ("image", "labels")
    assert scan[0].shape == lesion[0].shape
    assert set(np.unique(lesion[0])) == {0, 1, 2, 3}
    assert all(path.is_file() for path in (sample_scan(), sample_lesion(), sample_lung()))


def test_napari_takes_the_layers_as_they_are(tmp_path):
    layers = pytest.importorskip("napari.layers")
    image, labels = (layers.Layer.create(*layer) for layer in plugin.sample())
    assert [str(unit) for unit in image.units] == ["millimeter"] * 3
    assert image.axis_labels == labels.axis_labels == ("slice", "row", "column")
    assert np.allclose(labels.get_color(1)[:3], [0x35 / 255, 0xB7 / 255, 0x79 / 255], atol=1e-2)
    (out,) = plugin.write(str(tmp_path / "again.nii.gz"), *labels.as_layer_data_tuple()[:2])
    assert np.array_equal(np.asarray(nib.load(out).dataobj), np.asarray(nib.load(sample_lesion()).dataobj))


def test_what_is_doubtful_about_a_file_is_a_warning(tmp_path):
    image = nib.load(write_scan(tmp_path / "case_ct.nii.gz"))
    image.set_qform(np.diag([-1, 1, 1, 1]) @ image.affine, 1)
    nib.save(image, tmp_path / "case_ct.nii.gz")
    with pytest.warns(UserWarning, match=r"case_ct\.nii\.gz says twice where it is"):
        plugin.read(str(tmp_path / "case_ct.nii.gz"))
