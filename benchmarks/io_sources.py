"""Intact scans in memory, from real ones: what `bench_io` breaks."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_covseg.io import Stated

SLICES_KEPT = 5
CROP = (96, 80, 12)
SIDE = 160
WINDOW_HU = (-1350, 150)
COMPRESSED = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
}

SHARED = {
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}
"""What all frames of an enhanced CT have in common."""

Bytes = dict[str, bytes]
"""The files of a scan by name; one for NIfTI, one per slice for DICOM."""


@dataclass(frozen=True)
class Source:
    """An intact scan.

    Parameters
    ----------
    kind
        What it is, and by that how it can be broken.
    files
        Its files; one called ``scan.…`` is a file of its own, others lie in a folder.
    stated
        What the reader states about it.
    """

    kind: str
    files: Bytes
    stated: Stated = field(default_factory=Stated)


def sources(data: Path) -> list[Source]:
    """Return scans of all formats, cut out of a real NIfTI file and a real DICOM series."""
    dicom = _dicom(data)
    return [
        *_nifti(data),
        Source("dicom", dicom),
        Source("enhanced", _enhanced(_cropped(dicom))),
        *_itk(data),
        *(Source("packed dicom", _compressed(dicom, syntax)) for syntax in COMPRESSED.values()),
        Source("zip", _zipped(_cropped(dicom))),
        *_pictures(data),
    ]


def written(files: Bytes, place: Path) -> Path:
    """Write the files of a scan into a new folder, and return the path to open; it has the same name everywhere."""
    place.mkdir()
    place = place / "case"
    if len(files) == 1 and next(iter(files)).startswith("scan."):
        ((name, content),) = files.items()
        path = place.with_name(f"{place.name}{name}")
        path.write_bytes(content)
        return path
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def _middle(data: Path) -> Any:
    """Return the middle of a real scan, with its own header."""
    import nibabel as nib

    whole = nib.load(sorted((data / "volumes").glob("*_ct.nii.gz"))[0])
    start = [(n - m) // 2 for n, m in zip(whole.shape, CROP, strict=True)]
    part = whole.slicer[tuple(slice(a, a + m) for a, m in zip(start, CROP, strict=True))]
    part.header.set_qform(part.affine, code=int(whole.header["qform_code"]))  # slicing drops it, the scan has it
    part.header.set_sform(part.affine, code=int(whole.header["sform_code"]))
    return part


def _nifti(data: Path) -> list[Source]:
    crop = _middle(data).to_bytes()
    return [Source("nii.gz", {"scan.nii.gz": gzip.compress(crop, 6)}), Source("nii", {"scan.nii": crop})]


def _itk(data: Path) -> list[Source]:
    """Return the same as NRRD and MetaImage, compressed and not, as SimpleITK writes them."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    found = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "scan.nii").write_bytes(_middle(data).to_bytes())
        image = sitk.Cast(sitk.ReadImage(Path(name) / "scan.nii"), sitk.sitkInt16)
        for suffix in (".nrrd", ".mha"):
            for is_packed in (False, True):
                path = Path(name) / f"scan{suffix}"
                sitk.WriteImage(image, path, is_packed)
                found.append(Source(f"{'packed ' if is_packed else ''}{suffix[1:]}", {path.name: path.read_bytes()}))
    return found


def _dicom(data: Path) -> Bytes:
    return {file.name: file.read_bytes() for file in sorted((data / "dicom" / "lung_dx_a0002").iterdir())[:SLICES_KEPT]}


def _cropped(files: Bytes) -> Bytes:
    """Return the middle of DICOM slices, which is decoded sooner."""
    import pydicom

    cropped = {}
    for name, content in files.items():
        image = pydicom.dcmread(io.BytesIO(content))
        start = [(n - SIDE) // 2 for n in (image.Rows, image.Columns)]
        middle = image.pixel_array[tuple(slice(a, a + SIDE) for a in start)]
        image.PixelData, image.Rows, image.Columns = middle.tobytes(), SIDE, SIDE
        image.ReconstructionDiameter = SIDE * image.PixelSpacing[0]
        image.SmallestImagePixelValue, image.LargestImagePixelValue = int(middle.min()), int(middle.max())
        cropped[name] = _bytes_of(image)
    return cropped


def _enhanced(files: Bytes) -> Bytes:
    """Return the slices as frames of one enhanced CT."""
    import pydicom
    from pydicom.uid import EnhancedCTImageStorage

    def holding(tags: tuple[str, ...], of: Any) -> list[Any]:
        item = pydicom.Dataset()
        for tag in tags:
            setattr(item, tag, of[tag].value)
        return [item]

    slices = [pydicom.dcmread(io.BytesIO(content)) for content in files.values()]
    image = pydicom.dcmread(io.BytesIO(next(iter(files.values()))))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    image.NumberOfFrames, image.PixelData = len(slices), b"".join(each.PixelData for each in slices)
    shared = pydicom.Dataset()
    for sequence, tags in SHARED.items():
        setattr(shared, sequence, holding(tags, slices[0]))
    image.SharedFunctionalGroupsSequence, groups = [shared], []
    for each in slices:
        groups.append(pydicom.Dataset())
        groups[-1].PlanePositionSequence = holding(("ImagePositionPatient",), each)
    image.PerFrameFunctionalGroupsSequence = groups
    for tag in ("ImagePositionPatient", *(tag for tags in SHARED.values() for tag in tags)):
        delattr(image, tag)
    return {"scan.dcm": _bytes_of(image)}


def _compressed(files: Bytes, syntax: str) -> Bytes:
    import pydicom

    packed = {}
    for name, content in _cropped(files).items():
        if syntax == COMPRESSED["JPEG lossless"]:
            packed[name] = _by_gdcm(content)
            continue
        image = pydicom.dcmread(io.BytesIO(content))
        image.compress(syntax, generate_instance_uid=False)
        packed[name] = _bytes_of(image)
    return packed


def _by_gdcm(content: bytes) -> bytes:
    import gdcm

    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name) / "slice.dcm")
        Path(path).write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(path)
        reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(path)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return Path(path).read_bytes()


def _bytes_of(image: Any) -> bytes:
    stream = io.BytesIO()
    image.save_as(stream)
    return stream.getvalue()


def _zipped(files: Bytes) -> Bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"study/{name}", content)
    return {"scan.zip": stream.getvalue()}


def _pictures(data: Path) -> list[Source]:
    """Return slices as grey pictures in the lung window."""
    import imageio.v3 as imageio

    low, high = WINDOW_HU
    hu = np.asarray(_middle(data).dataobj)[..., :SLICES_KEPT]
    grey = np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8).transpose(2, 1, 0)
    stated = Stated(window_hu=WINDOW_HU, spacing_mm=(0.7, 0.7, 5.0))
    found = []
    for kind in ("png", "jpg"):
        files = {f"im{k}.{kind}": imageio.imwrite("<bytes>", each, extension=f".{kind}") for k, each in enumerate(grey)}
        found.append(Source(kind, files, stated))
    return found
