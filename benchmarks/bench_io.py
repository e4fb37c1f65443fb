"""Break real scans in every way at hand and see what opens; time and weigh the opening of sound ones. Prints JSON.

`fuzzed` files are broken in memory: bytes overwritten (anywhere, or in the header), files cut short, DICOM tags
removed from one slice or from all, slices taken away. A `traceback` is anything but one sentence. A `wrong_load` is a
scan that opened without a word and differs from the intact one: in shape, in millimetres (more than 0.1 mm at a
corner), or in Hounsfield units at more voxels than bytes of uncompressed voxels were overwritten. (A byte changed
inside stored voxels is a voxel changed: without a checksum in the format no reader can tell.)

Real scans come from $COVSEG_DATA or ../shared/data beside the checkout; without them there is nothing to measure.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

DATA = Path(os.environ.get("COVSEG_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
TOLERANCE_MM = 0.1
SLICES_KEPT = 5
CROP = (96, 80, 12)
NIFTI_HEADER = 352

Bytes = dict[str, bytes]
"""The files of a scan by name; one for NIfTI, one per slice for DICOM."""


@dataclass(frozen=True)
class Broken:
    """A broken scan, and how many bytes of stored, uncompressed voxels were overwritten."""

    how: str
    files: Bytes
    voxel_bytes: int = 0


def main() -> None:
    """Measure what the command line asks for."""
    args = _arguments()
    if args.weigh:
        print(json.dumps(_weigh(Path(args.weigh))))
        return
    if not DATA.is_dir():
        sys.exit(f"There are no real scans in {DATA}; COVSEG_DATA may name another folder.")
    warnings.simplefilter("ignore")
    report = _fuzz(args.count, args.seed)
    report |= _speed(3 if args.quick else 15)
    report |= _peaks(60 if args.quick else 300)
    print(json.dumps(report, indent=None if args.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--quick", action="store_true", help="few repeats and small volumes")
    parser.add_argument("--count", type=int, default=1500, help="how many files to break")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weigh", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- broken files -----------------------------------------------------------------------------------------------------


def _fuzz(count: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sources = [*_nifti_sources(), _dicom_source()]
    outcome: Counter[str] = Counter()
    tracebacks, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        intact = [_opened(_written(source, Path(folder) / f"intact{k}"))[0] for k, source in enumerate(sources)]
        for index in range(count):
            which = int(rng.choice([0, 1, 2, 2]))
            breaks = DICOM_BREAKS if which == 2 else GZIP_BREAKS if which == 0 else NIFTI_BREAKS
            broken = breaks[int(rng.integers(len(breaks)))](sources[which], rng)
            path = _written(broken.files, Path(folder) / f"{index}")
            scan, said = _opened(path)
            verdict = _verdict(scan, said, intact[which], broken)
            outcome[f"{broken.how}: {verdict}"] += 1
            (tracebacks if verdict == "traceback" else wrong if verdict == "wrong" else []).append(
                f"{broken.how}: {said}"
            )
            _removed(path)
    figures = {"fuzzed": count, "tracebacks": len(tracebacks), "wrong_loads": len(wrong)}
    return {**figures, "details": {"outcomes": dict(sorted(outcome.items())), "examples": (tracebacks + wrong)[:20]}}


def _opened(path: Path) -> tuple[Any, str]:
    """Return the scan, or None and what was said instead."""
    from napari_covseg.io import read_volume

    try:
        return read_volume(path), ""
    except ValueError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - what is counted
        return None, f"TRACEBACK {type(error).__name__}: {error}"


def _verdict(scan: Any, said: str, intact: Any, broken: Broken) -> str:
    if scan is None:
        is_sentence = said.endswith(".") and "\n" not in said and not said.startswith("TRACEBACK")
        return "refused" if is_sentence else "traceback"
    if set(scan.notes) - set(intact.notes):
        return "announced"
    if scan.hu.shape != intact.hu.shape:
        return "wrong"
    apart_mm = np.abs(scan.geometry.corners_mm() - intact.geometry.corners_mm()).max()
    differ = int((scan.hu != intact.hu).sum())
    return "wrong" if apart_mm > TOLERANCE_MM or differ > broken.voxel_bytes else "equal"


def _written(files: Bytes, place: Path) -> Path:
    if len(files) == 1 and next(iter(files)).startswith("scan.nii"):
        ((name, content),) = files.items()
        path = place.with_name(f"{place.name}{name}")
        path.write_bytes(content)
        return path
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def _removed(path: Path) -> None:
    for file in path.iterdir() if path.is_dir() else [path]:
        file.unlink()
    if path.is_dir():
        path.rmdir()


def _nifti_sources() -> list[Bytes]:
    """Return the middle of a real scan with its own header, compressed and not."""
    import nibabel as nib

    whole = nib.load(sorted((DATA / "volumes").glob("*_ct.nii.gz"))[0])
    start = [(n - m) // 2 for n, m in zip(whole.shape, CROP, strict=True)]
    part = whole.slicer[tuple(slice(a, a + m) for a, m in zip(start, CROP, strict=True))]
    part.header.set_qform(part.affine, code=int(whole.header["qform_code"]))  # slicing drops it, the scan has it
    part.header.set_sform(part.affine, code=int(whole.header["sform_code"]))
    crop = part.to_bytes()
    return [{"scan.nii.gz": gzip.compress(crop, 6)}, {"scan.nii": crop}]


def _dicom_source() -> Bytes:
    return {file.name: file.read_bytes() for file in sorted((DATA / "dicom" / "lung_dx_a0002").iterdir())[:SLICES_KEPT]}


def _overwrite(content: bytes, rng: np.random.Generator, start: int, stop: int) -> tuple[bytes, list[int]]:
    broken, places = bytearray(content), [int(at) for at in rng.integers(start, stop, int(rng.integers(1, 9)))]
    for at in places:
        broken[at] = int(rng.integers(256))
    return bytes(broken), places


def _gzip_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    return Broken("nii.gz bytes", {name: _overwrite(content, rng, 0, len(content))[0]})


def _nifti_header(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    is_packed = name.endswith(".gz")
    broken, _ = _overwrite(gzip.decompress(content) if is_packed else content, rng, 0, NIFTI_HEADER)
    return Broken(f"{name[5:]} header", {name: gzip.compress(broken, 1) if is_packed else broken})


def _nifti_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    ((name, content),) = files.items()
    broken, places = _overwrite(content, rng, 0, len(content))
    return Broken("nii bytes", {name: broken}, sum(at >= NIFTI_HEADER for at in places))


def _cut(files: Bytes, rng: np.random.Generator) -> Broken:
    name = sorted(files)[int(rng.integers(len(files)))]
    end = int(rng.integers(len(files[name])))
    return Broken(f"{Path(name).suffix[1:]} cut", {**files, name: files[name][:end]})


def _dicom_header(files: Bytes, rng: np.random.Generator) -> Broken:
    name = sorted(files)[int(rng.integers(len(files)))]
    broken, _ = _overwrite(files[name], rng, 128, _pixels_at(files[name]))
    return Broken("dcm header", {**files, name: broken})


def _dicom_bytes(files: Bytes, rng: np.random.Generator) -> Broken:
    name = sorted(files)[int(rng.integers(len(files)))]
    broken, places = _overwrite(files[name], rng, 0, len(files[name]))
    pixels_at = _pixels_at(files[name])
    return Broken("dcm bytes", {**files, name: broken}, sum(at >= pixels_at for at in places))


def _pixels_at(content: bytes) -> int:
    return content.rindex(b"\xe0\x7f\x10\x00OW") + 12


def _tag_removed(files: Bytes, rng: np.random.Generator, *, everywhere: bool) -> Broken:
    import pydicom

    names = sorted(files) if everywhere else [sorted(files)[int(rng.integers(len(files)))]]
    tags = list(pydicom.dcmread(io.BytesIO(files[names[0]])).keys())
    tag = tags[int(rng.integers(len(tags)))]
    broken = dict(files)
    for name in names:
        image = pydicom.dcmread(io.BytesIO(files[name]))
        image.pop(tag, None)
        stream = io.BytesIO()
        image.save_as(stream)
        broken[name] = stream.getvalue()
    return Broken(f"dcm tag removed from {'all' if everywhere else 'one'}", broken)


def _tag_of_one(files: Bytes, rng: np.random.Generator) -> Broken:
    return _tag_removed(files, rng, everywhere=False)


def _tag_of_all(files: Bytes, rng: np.random.Generator) -> Broken:
    return _tag_removed(files, rng, everywhere=True)


def _slice_gone(files: Bytes, rng: np.random.Generator) -> Broken:
    inner = sorted(files)[1:-1]
    gone = inner[int(rng.integers(len(inner)))]
    return Broken("dcm slice gone", {name: content for name, content in files.items() if name != gone})


Break = Callable[[Bytes, np.random.Generator], Broken]
GZIP_BREAKS: tuple[Break, ...] = (_gzip_bytes, _nifti_header, _cut)
NIFTI_BREAKS: tuple[Break, ...] = (_nifti_bytes, _nifti_header, _cut)
DICOM_BREAKS: tuple[Break, ...] = (
    _dicom_header,
    _dicom_header,
    _dicom_bytes,
    _cut,
    _tag_of_one,
    _tag_of_all,
    _slice_gone,
)


# --- speed and memory -------------------------------------------------------------------------------------------------


def _speed(repeats: int) -> dict[str, Any]:
    """Open the same series with this program's door and with SimpleITK's reader, in turn."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    from napari_covseg.io import read_volume

    folder = DATA / "dicom" / "lung_dx_a0002"

    def by_simpleitk() -> None:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        sitk.GetArrayFromImage(reader.Execute())

    ours, theirs = [], []
    for _ in range(repeats + 1):
        ours.append(_timed(lambda: read_volume(folder)))
        theirs.append(_timed(by_simpleitk))
    ours_s, theirs_s = median(ours[1:]), median(theirs[1:])
    return {"dicom_vs_simpleitk_speed": round(theirs_s / ours_s, 3), "seconds": {"ours": ours_s, "simpleitk": theirs_s}}


def _timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _peaks(slices: int) -> dict[str, Any]:
    """Open 512 × 512 scans of several formats, each in a process of its own, and take the worst peak."""
    import nibabel as nib
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 1000, (slices, 512, 512), dtype=np.int16)
    affine = np.diag([-0.7, -0.7, 1.0, 1.0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in (".nii", ".nii.gz"):
            nib.save(nib.Nifti1Image(hu.T, affine), folder / f"int16{suffix}")
        nib.save(nib.Nifti1Image(hu.T.astype(np.float32), affine), folder / "float32.nii.gz")
        image = sitk.GetImageFromArray(hu)
        sitk.WriteImage(image, folder / "int16.nrrd", True)
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), folder / "float32.mha")
        _write_series(folder / "dicom", hu)
        paths = sorted(folder.iterdir())
        ratios = {path.name: _peak_of(path) / hu.nbytes for path in paths}
    worst = max(ratios.values())
    return {"open_peak_ratio": round(worst, 3), "peaks": {name: round(ratio, 3) for name, ratio in ratios.items()}}


def _peak_of(path: Path) -> float:
    command = [sys.executable, __file__, "--weigh", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(found["peak_bytes"])


def _weigh(path: Path) -> dict[str, float]:
    """Open a scan in a fresh process, as the workbench does, and return how far its memory grew at most (Linux)."""
    import nibabel  # noqa: F401 - the libraries are not what is weighed
    import psutil
    import pydicom.pixels  # noqa: F401
    import SimpleITK  # noqa: F401

    from napari_covseg.io import dicom, itk, read_volume  # noqa: F401

    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak begins here; a fork inherits its parent's
    before = psutil.Process().memory_info().rss
    _ = read_volume(path).sha256
    status = Path("/proc/self/status").read_text("ascii")
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024
    return {"peak_bytes": peak - before}


def _write_series(folder: Path, hu: np.ndarray[Any, Any]) -> None:
    """Write slices on the pattern of a real one."""
    import pydicom
    from pydicom.uid import generate_uid

    folder.mkdir()
    image = pydicom.dcmread(DATA / "dicom" / "lung_dx_a0002" / "1-01.dcm")
    for index, plane in enumerate(hu):
        image.ImagePositionPatient = [0, 0, float(index)]
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber = index + 1
        image.PixelData = (plane + 1024).astype(np.uint16).tobytes()
        image.save_as(folder / f"{index:04}.dcm")


if __name__ == "__main__":
    main()
