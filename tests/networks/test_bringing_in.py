from __future__ import annotations

import gc
import subprocess
import sys

import pytest

BROUGHT_IN = """
import gc, sys
from napari_covseg.networks.bringing_in import bringing_in_torch
collections = []
gc.callbacks.append(lambda phase, told: collections.append(told["generation"]))
with bringing_in_torch():
    maps = open("/proc/self/maps").read() if sys.platform == "linux" else "libtorch_cpu"
    assert "libtorch_cpu" in maps and "torch" not in sys.modules
    import torch
assert collections == [], collections
assert gc.isenabled() and gc.get_freeze_count() > 100_000, gc.get_freeze_count()
assert float(torch.ones(3).sum()) == 3
"""


def test_torch_comes_in_with_its_libraries_loaded_before_and_no_collection_on_the_way():
    subprocess.run([sys.executable, "-c", BROUGHT_IN], check=True, timeout=120)


def test_where_nothing_new_is_imported_the_collector_is_left_as_it_was():
    from napari_covseg.networks.bringing_in import bringing_in_torch

    pytest.importorskip("torch")
    frozen = gc.get_freeze_count()
    with bringing_in_torch():
        assert not gc.isenabled()
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)


def test_a_collector_that_was_off_stays_off():
    from napari_covseg.networks.bringing_in import bringing_in_torch

    gc.disable()
    try:
        with bringing_in_torch():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
