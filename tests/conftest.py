from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
WITH_DISPLAY = Path(__file__).parents[1] / ".ci" / "with_display"


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker of xdist a screen of its own: two on one would take keyboard and pointer from each other."""
    if os.environ.get("PYTEST_XDIST_WORKER") and os.environ.get("COVSEG_HEADLESS"):
        words = [str(WITH_DISPLAY), "--keep-screen-for", str(os.getpid())]
        keeper = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert keeper.stdout
        number = keeper.stdout.readline().strip()
        assert number, "Xvfb did not start"
        os.environ["DISPLAY"] = f":{number}"


@pytest.fixture(scope="session")
def covseg_data() -> Path:
    """The folder of real chest CT: $COVSEG_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("COVSEG_DATA") or SHARED_DATA)
    if not folder.is_dir():
        pytest.skip(f"no real CT in {folder}; COVSEG_DATA may name another folder")
    return folder


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the developer's own sessions and checkpoints."""
    home = tmp_path / "covseg_home"
    monkeypatch.setenv("COVSEG_HOME", str(home))
    return home


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 7 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=7m", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="session")
def untrained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of seeded random weights that tells its four classes apart by grey value, roughly."""
    import torch

    from napari_covseg.networks import Card, checkpoint, load

    scheme = ("ggo", "consolidation", "effusion")
    torch.manual_seed(0)
    module = load("res_att_unet").build(scheme, "compact")
    card = Card(network="res_att_unet", width="compact", scheme=scheme, trained_on="nothing: seeded random weights")
    return checkpoint.save(module, card, tmp_path_factory.mktemp("weights") / "untrained.safetensors").path


@pytest.fixture
def untrained(untrained_file: Path, isolated_home: Path) -> Checkpoint:
    """The untrained checkpoint, at home among the reader's own."""
    from napari_covseg.networks import checkpoint

    own = isolated_home / checkpoint.OWN_FOLDER / untrained_file.name
    own.parent.mkdir(parents=True)
    own.write_bytes(untrained_file.read_bytes())
    return checkpoint.read(own)


@pytest.fixture(scope="module")
def small_grids() -> Iterator[None]:
    """Two networks see slices of 64², a thirtieth of the work; all else of them is as it is."""
    from dataclasses import replace

    from napari_covseg.networks.spec import Stream
    from napari_covseg.networks.zoo import chs_net, res_att_unet
    from napari_covseg.preprocess import Resize

    def smaller(stream: Stream) -> Stream:
        return replace(stream, steps=tuple(Resize(64) if isinstance(step, Resize) else step for step in stream.steps))

    with pytest.MonkeyPatch.context() as patched:
        for paper in (chs_net, res_att_unet):
            stages = tuple(
                replace(stage, streams=tuple(smaller(stream) for stream in stage.streams))
                for stage in paper.SPEC.stages
            )
            patched.setattr(paper, "SPEC", replace(paper.SPEC, stages=stages))
        yield


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package as it is where no weights came with it."""
    from napari_covseg.networks import checkpoint

    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "nothing_shipped")


@pytest.fixture(scope="session")
def _short_sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Twelve slices of the bundled sample, a corner of each, with their lesions and lungs."""
    import nibabel as nib

    from napari_covseg.training import rehearsal

    folder, cut = tmp_path_factory.mktemp("rehearsal"), []
    for path in (rehearsal.sample_scan(), rehearsal.sample_lesion(), rehearsal.sample_lung()):
        nib.save(nib.load(path).slicer[40:136, 100:196, 26:38], folder / path.name)
        cut.append(folder / path.name)
    return cut[0], cut[1], cut[2]


@pytest.fixture
def short_rehearsal(monkeypatch: pytest.MonkeyPatch, _short_sample: tuple[Path, Path, Path]) -> None:
    """Fine-tuning rehearses a part of the bundled sample that is read and asked about in a second."""
    from napari_covseg.training import rehearsal

    for name, path in zip(("sample_scan", "sample_lesion", "sample_lung"), _short_sample, strict=True):
        monkeypatch.setattr(rehearsal, name, lambda path=path: path)


@pytest.fixture
def small_scan(tmp_path: Path) -> Path:
    """A scan of six 64² slices in the voxel order L P S, brighter to the patient's left, on disk."""
    import nibabel as nib
    import numpy as np

    rng = np.random.default_rng(0)
    hu = np.linspace(-950, 60, 64)[:, None, None] + rng.normal(0, 20, (64, 64, 6))
    image = nib.Nifti1Image(hu.astype(np.int16), np.diag([-0.7, -0.7, 5.0, 1.0]))
    nib.save(image, tmp_path / "small_ct.nii.gz")
    return tmp_path / "small_ct.nii.gz"
