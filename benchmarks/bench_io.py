"""Break real scans in every way at hand and see what opens; time and weigh the opening of sound ones. Prints JSON.

`fuzzed` scans (NIfTI, NRRD, MetaImage, DICOM plain, enhanced, compressed and zipped, pictures) are broken in memory:
bytes overwritten (anywhere, or in the header), a digit become another, files cut short, lines or DICOM tags removed, a
tag changed in all slices, slices taken away within and at the ends. A `traceback` is anything but one sentence. A
`wrong_load` is a scan that opened, is not the intact one, and says no word about what differs: its shape, its place
(over 0.1 mm at a corner), or any one of its voxels. `wrong_loads` counts all of them.

`no_witness` says how many of these nobody could tell, by the test that `Broken` and `_has_no_witness` write down:
voxels stored plainly whose bytes were overwritten; one slice whose compressed pixels were, in a format without a
checksum (DICOM, JPEG), and still decode; a place in the head of an NRRD or MetaImage file, said only once, of which a
digit, sign or point became another; the last slices, where nothing says how many there were. What is wrong beyond these
is a fault of this program.
`lines_printed` is what libraries wrote to stderr meanwhile.

Real scans come from $COVSEG_DATA or ../shared/data beside the checkout; without them there is nothing to measure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from io_breaks import Broken, breaks_of
from io_sources import Source, sources, written
from process_memory import status_kib

DATA = Path(os.environ.get("COVSEG_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
TOLERANCE_MM = 0.1

ABOUT = {
    "shape": re.compile(r"slice|picture|image|frame|scout"),
    "place": re.compile(r"\bmm\b|lies|where|lengths|left and right|header|apart|spacing"),
    "values": re.compile(r"value|voxel|pixel|rescale|padding|field of view|Hounsfield|header|scaled"),
}
"""The words with which a note is about what differs; any other note announces nothing."""

Voxels = np.ndarray[Any, Any]


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
    report |= _peaks(150 if args.quick else 300)
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
    whole = sources(DATA)
    outcome: Counter[str] = Counter()
    told: dict[str, list[str]] = {"traceback": [], "wrong": [], "wrong, no witness": []}
    with tempfile.TemporaryDirectory() as folder, _printed(Path(folder) / "printed") as printed:
        intact = [_opened(written(each.files, Path(folder) / f"intact{k}"), each)[0] for k, each in enumerate(whole)]
        for index in range(count):
            which = int(rng.integers(len(whole)))
            source, breaks = whole[which], breaks_of(whole[which].kind)
            broken = breaks[int(rng.integers(len(breaks)))](source.files, rng)
            path = written(broken.files, Path(folder) / f"{index}")
            scan, said = _opened(path, source)
            verdict = _verdict(scan, said, intact[which], broken)
            outcome[f"{source.kind}: {broken.how}: {verdict}"] += 1
            told.get(verdict, []).append(f"{source.kind}: {broken.how}: {said}")
            shutil.rmtree(path.parent)
    figures = {
        "fuzzed": count,
        "tracebacks": len(told["traceback"]),
        "wrong_loads": len(told["wrong"]) + len(told["wrong, no witness"]),
        "no_witness": len(told["wrong, no witness"]),
        "lines_printed": len(printed),
    }
    examples = (told["traceback"] + told["wrong"])[:20]
    details = {"outcomes": dict(sorted(outcome.items())), "examples": examples, "printed": printed[:5]}
    return {**figures, "details": details}


@contextmanager
def _printed(path: Path) -> Iterator[list[str]]:
    """Yield a list that at the end holds the lines that anything, C libraries too, wrote to stderr."""
    lines: list[str] = []
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    lines += path.read_text("utf-8", "replace").splitlines()


def _opened(path: Path, source: Source) -> tuple[Any, str]:
    """Return the scan, or None and what was said instead."""
    from napari_covseg.io import read_volume

    try:
        return read_volume(path, source.stated), ""
    except ValueError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - what is counted
        return None, f"TRACEBACK {type(error).__name__}: {error}"


def _verdict(scan: Any, said: str, intact: Any, broken: Broken) -> str:
    if scan is None:
        is_sentence = said.endswith(".") and "\n" not in said and not said.startswith("TRACEBACK")
        return "refused" if is_sentence else "traceback"
    said_of = {about for about, words in ABOUT.items() if words.search(" ".join(set(scan.notes) - set(intact.notes)))}
    differs = _what_differs(scan, intact)
    if not differs:
        return "equal"
    if differs in said_of:
        return "announced"
    return "wrong, no witness" if _has_no_witness(differs, scan, intact, broken) else "wrong"


def _what_differs(scan: Any, intact: Any) -> str:
    """Return what differs first of shape, place and values; nothing where a scan is the intact one."""
    if scan.hu.shape != intact.hu.shape:
        return "shape"
    apart_mm = np.abs(scan.geometry.corners_mm() - intact.geometry.corners_mm()).max()
    if apart_mm > TOLERANCE_MM:
        return "place"
    return "" if np.array_equal(scan.hu, intact.hu) else "values"


def _has_no_witness(differs: str, scan: Any, intact: Any, broken: Broken) -> bool:
    """Whether what was broken is of the kind of which no reader could tell, and nothing else came of it."""
    if differs != "values":
        return broken.last_gone if differs == "shape" else broken.number_struck
    changed = scan.hu != intact.hu
    if int(changed.sum()) <= broken.voxel_bytes:
        return True
    axis = scan.geometry.shape.index(min(scan.geometry.shape))
    slices = int(changed.any(axis=tuple({0, 1, 2} - {axis})).sum())
    return broken.slice_struck and slices == 1


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
    """Open 512 × 512 scans of every format and type of voxel, each in a process of its own; the worst peak counts."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-20, 20, (slices, 512, 512), dtype=np.int16) * np.int16(50)
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for write, dtypes in (
            (_as_nifti, ("int16", "int32", "float32", "float64")),
            (_as_packed_nifti, ("int16", "float64")),
            (_as_nrrd, ("int16", "int32", "float32", "float64")),
            (_as_metaimage, ("int16", "int32", "float32", "float64")),
            (_as_packed_metaimage, ("float32", "float64")),
            (_as_dicom, ("int16",)),
        ):
            for dtype in dtypes:
                path = write(Path(name), hu, dtype)
                ratios[path.name] = round(_peak_of(path) / hu.nbytes, 3)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"open_peak_ratio": max(ratios.values()), "peaks": ratios}


def _as_nifti(folder: Path, hu: Voxels, dtype: str, suffix: str = ".nii") -> Path:
    import nibabel as nib

    path = folder / f"{dtype}{suffix}"
    nib.save(nib.Nifti1Image(hu.T.astype(dtype), np.diag([-0.7, -0.7, 1.0, 1.0]), dtype=dtype), path)
    return path


def _as_packed_nifti(folder: Path, hu: Voxels, dtype: str) -> Path:
    return _as_nifti(folder, hu, dtype, ".nii.gz")


def _as_itk(path: Path, hu: Voxels, dtype: str, is_packed: bool) -> Path:
    import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

    image = sitk.GetImageFromArray(hu.astype(dtype))
    image.SetSpacing((0.7, 0.7, 1.0))
    sitk.WriteImage(image, path, is_packed, compressionLevel=1)
    return path


def _as_nrrd(folder: Path, hu: Voxels, dtype: str) -> Path:
    return _as_itk(folder / f"{dtype}.nrrd", hu, dtype, is_packed=True)


def _as_metaimage(folder: Path, hu: Voxels, dtype: str) -> Path:
    return _as_itk(folder / f"{dtype}.mha", hu, dtype, is_packed=False)


def _as_packed_metaimage(folder: Path, hu: Voxels, dtype: str) -> Path:
    return _as_itk(folder / f"packed {dtype}.mha", hu, dtype, is_packed=True)


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
    return {"peak_bytes": status_kib("VmHWM") * 1024 - before}


def _as_dicom(folder: Path, hu: Voxels, dtype: str) -> Path:
    """Write slices on the pattern of a real one."""
    import pydicom
    from pydicom.uid import generate_uid

    folder = folder / f"dicom {dtype}"
    folder.mkdir()
    image = pydicom.dcmread(DATA / "dicom" / "lung_dx_a0002" / "1-01.dcm")
    for index, plane in enumerate(hu):
        image.ImagePositionPatient = [0, 0, float(index)]
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber = index + 1
        image.PixelData = (plane + 1024).astype(np.uint16).tobytes()
        image.save_as(folder / f"{index:04}.dcm")
    return folder


if __name__ == "__main__":
    main()
