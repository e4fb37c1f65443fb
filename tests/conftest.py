from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


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


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package as it is where no weights came with it."""
    from napari_covseg.networks import checkpoint

    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "nothing_shipped")


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
