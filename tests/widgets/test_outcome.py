from __future__ import annotations

from pathlib import Path
from typing import Any

from .conftest import write_scan


def said(driver: Any) -> str:
    driver.live(0.05)
    return str(driver.tabs.state_line.message.text())


def test_a_segmentation_ends_with_what_it_found(quick_network: Any, at_work: Any, trained: Any) -> None:
    quick_network()
    at_work.tabs.panels["Segment"].go.click()
    at_work.until(lambda: said(at_work))
    assert said(at_work) == f"{title(at_work)}: 12 slices, 1 lesion, 8 mL."  # 12 × 100 voxels of 6.75 mm³
    at_work.key("R")
    assert not said(at_work)
    at_work.tabs.panels["Segment"].choose_scope("slice")
    at_work.tabs.panels["Segment"].go.click()
    at_work.until(lambda: said(at_work))
    assert said(at_work) == f"{title(at_work)}: 1 slice, 1 lesion, 8 mL."


def title(driver: Any) -> str:
    from napari_covseg.workbench import checkpoint_title

    return str(checkpoint_title(driver.bench.choice.checkpoint))


def test_nothing_is_said_of_a_scan_that_is_no_longer_open(quick_network: Any, at_work: Any, tmp_path: Path) -> None:
    quick_network(0.01)
    at_work.tabs.panels["Segment"].go.click()
    at_work.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    at_work.live(0.5)
    assert not said(at_work)
