"""The package as `pip install napari-covseg` leaves it: built, installed and run far from the checkout.

The rest of the tests run on an editable install, where a file that never reaches the wheel, or a dependency that only
`[all]` brings in, goes unnoticed. Here the wheel is installed in an environment that holds only what its own metadata
asks for. Those packages are hundreds of megabytes that are on this disk already, so the environment links to them
instead of installing them again; the package itself is copied out of the wheel by pip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.wheel

CHECKOUT = Path(__file__).resolve().parents[1]
PAPERS = sorted(path.stem for path in (CHECKOUT / "napari_covseg/networks/zoo").glob("[!_]*.py"))
SAMPLES = ("sample_ct.nii.gz", "sample_lesion.nii.gz", "sample_lung.nii.gz")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    finished(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT, at=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def headless(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment after `pip install napari-covseg`."""
    return environment(wheel, tmp_path_factory.mktemp("headless"), extra="")


@pytest.fixture(scope="module")
def with_napari(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment after `pip install napari-covseg[all]`."""
    return environment(wheel, tmp_path_factory.mktemp("with_napari"), extra="all")


def test_the_wheel_holds_the_program_and_what_it_shows(wheel: Path) -> None:
    sizes = {entry.filename: entry.file_size for entry in zipfile.ZipFile(wheel).infolist()}
    for name in ("napari.yaml", *(f"sample_data/{sample}" for sample in SAMPLES)):
        assert sizes[f"napari_covseg/{name}"] > 0
    weights = [name for name in sizes if name.startswith("napari_covseg/networks/weights/")]
    assert [name for name in weights if name.endswith(".safetensors")]
    assert "napari_covseg/networks/weights/SHA256SUMS" in weights  # without it a damaged file would pass


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    rooms = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert rooms == {"napari_covseg", f"napari_covseg-{distribution('napari-covseg').version}.dist-info"}
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "test" in name or "__pycache__" in name]


def test_the_package_comes_from_the_wheel(headless: Path, tmp_path: Path) -> None:
    where = said_by_python(headless, "import napari_covseg; print(napari_covseg.__file__)", at=tmp_path)
    assert Path(where).is_relative_to(headless)


def test_the_command_line_needs_no_napari(headless: Path, tmp_path: Path) -> None:
    question = "import napari_covseg.cli, sys; print(*{'napari', 'qtpy', 'PyQt6', 'magicgui'} & set(sys.modules))"
    assert said_by_python(headless, question, at=tmp_path) == ""


def test_the_command_line_knows_every_paper(headless: Path, tmp_path: Path) -> None:
    listed = finished(headless / "bin/covseg", "networks", "--json", at=tmp_path)
    assert json.loads(listed)
    assert [key for key in PAPERS if f'"{key}"' in listed] == PAPERS


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_sample_can_be_read(headless: Path, tmp_path: Path, sample: str) -> None:
    depth = said_by_python(
        headless,
        "from importlib.resources import files; import nibabel;"
        f"print(nibabel.load(files('napari_covseg') / 'sample_data' / '{sample}').get_fdata().shape[2])",
        at=tmp_path,
    )
    assert int(depth) > 1


def test_napari_finds_the_plugin(with_napari: Path, tmp_path: Path) -> None:
    discovery = "import npe2; known = npe2.PluginManager(); known.discover(); print(*known.iter_manifests())"
    assert "name='napari-covseg'" in said_by_python(with_napari, discovery, at=tmp_path).replace('"', "'")


def environment(wheel: Path, folder: Path, extra: str) -> Path:
    """Make a virtual environment of the wheel and, linked from this one, what the wheel's metadata asks for."""
    finished(sys.executable, "-m", "venv", "--without-pip", folder, at=folder)
    python = folder / "bin/python"
    finished(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, at=folder)
    room = Path(said_by_python(folder, "import sysconfig; print(sysconfig.get_path('purelib'))", at=folder))
    for needed in dependencies("napari-covseg", {extra}, seen=set()):
        for name in {path.parts[0] for path in needed.files or ()} - {"..", "__pycache__"}:
            if not (room / name).exists():
                (room / name).symlink_to(Path(str(needed.locate_file(name))))
    return folder


def dependencies(name: str, extras: set[str], seen: set[tuple[str, str]]) -> Iterator[Distribution]:
    """Walk through all that a distribution needs on this machine, each once, itself left out."""
    for requirement in map(Requirement, distribution(name).requires or ()):
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        wanted = {(requirement.name, extra) for extra in requirement.extras or {""}} - seen
        if wanted:
            seen |= wanted
            if requirement.name != "napari-covseg":
                yield distribution(requirement.name)
            yield from dependencies(requirement.name, {extra for _, extra in wanted}, seen)


def said_by_python(folder: Path, code: str, at: Path) -> str:
    return finished(folder / "bin/python", "-c", code, at=at).strip()


def finished(*command: str | Path, at: Path) -> str:
    """Run a command in the folder `at`, without what this test run has put into Python's environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_", "COVERAGE_"))}
    done = subprocess.run(command, cwd=at, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
