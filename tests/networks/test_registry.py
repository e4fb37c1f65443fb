"""The registry and what a panel reads of it without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from napari_covseg.networks import available, load
from napari_covseg.networks.registry import listing


@pytest.mark.parametrize("key", available())
def test_the_listing_says_what_the_spec_says(key):
    spec, words = load(key), listing(key)
    assert (words.key, words.title, words.paper, words.summary) == (spec.key, spec.title, spec.paper, spec.summary)


def test_an_unknown_network_is_refused_with_the_list():
    with pytest.raises(KeyError, match="res_att_unet"):
        load("u_net")


def test_listing_and_checkpoints_need_no_torch():
    code = (
        "import sys; from napari_covseg.networks import available, checkpoint; from napari_covseg.networks.registry "
        "import listing; [listing(k) for k in available()]; [checkpoint.known(k) for k in available()]; "
        "import napari_covseg.workbench; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_readmes_table_is_what_the_registry_says(isolated_home):
    script = Path(__file__).parents[2] / "docs" / "network_table.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0, f"run {script.name}"
