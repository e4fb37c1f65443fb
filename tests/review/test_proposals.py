"""What networks drew is there after a restart, and nothing in it can stop a review."""

import shutil
import tracemalloc
import zlib

import numpy as np
import pytest

from napari_covseg.review import Proposals

SHAPE = (4, 6, 5)


def drawn(value):
    plane = np.zeros(SHAPE[1:], np.uint8)
    plane[2:4, 1:3] = value
    return plane


@pytest.fixture
def proposals(tmp_path):
    proposals = Proposals(tmp_path, SHAPE)
    proposals.write("MASC-Net", 1, drawn(1))
    proposals.write("MASC-Net", 2, drawn(2))
    proposals.write("Res/Att U-Net", 2, drawn(3))
    return proposals


def test_each_network_keeps_its_own(proposals, tmp_path):
    again = Proposals(tmp_path, SHAPE)
    assert again.networks == ("MASC-Net", "Res/Att U-Net")
    masc = again.labels("MASC-Net")
    assert np.array_equal(masc[1], drawn(1))
    assert np.array_equal(masc[2], drawn(2))
    assert not masc[[0, 3]].any()
    assert np.array_equal(again.labels("Res/Att U-Net")[2], drawn(3))


def test_a_network_that_drew_nothing_here_has_an_empty_map(proposals):
    assert not proposals.labels("nobody").any()
    assert Proposals(proposals.folder / "elsewhere", SHAPE).networks == ()


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_slice_is_left_out(proposals, damage):
    (path,) = [each / "2" for each in proposals.folder.glob("*") if (each / "1").exists()]
    path.write_bytes(path.read_bytes()[:-4] if damage is None else damage)
    masc = Proposals(proposals.folder.parent, SHAPE).labels("MASC-Net")
    assert not masc[2].any()
    assert np.array_equal(masc[1], drawn(1))


def test_where_nothing_can_be_written_the_review_goes_on(tmp_path):
    (tmp_path / "proposals").write_text("in the way")
    proposals = Proposals(tmp_path, SHAPE)
    proposals.write("MASC-Net", 1, drawn(1))
    assert Proposals(tmp_path, SHAPE).networks == ()
    assert np.array_equal(proposals.labels("MASC-Net")[1], drawn(1))
    (tmp_path / "proposals").unlink()
    assert proposals.write_again() == ""
    assert np.array_equal(Proposals(tmp_path, SHAPE).labels("MASC-Net")[1], drawn(1))


@pytest.mark.parametrize("is_read", [False, True])
def test_what_is_deleted_is_written_again_as_far_as_it_is_held(proposals, tmp_path, is_read):
    again = Proposals(tmp_path, SHAPE)
    again.write("Two-Stream", 0, drawn(1), 3.0)
    if is_read:
        again.labels("MASC-Net")
        again.labels("Res/Att U-Net")
    shutil.rmtree(proposals.folder)
    told = again.write_again()
    assert told.startswith("What MASC-Net and Res/Att U-Net drew was deleted") is not is_read
    assert again.write_again() == ""
    found = Proposals(tmp_path, SHAPE)
    assert found.networks == again.networks
    assert found.networks == (("MASC-Net", "Res/Att U-Net", "Two-Stream") if is_read else ("Two-Stream",))
    assert np.array_equal(found.labels("Two-Stream")[0], drawn(1))
    assert found.uncertain_voxels[0] == 3.0
    assert found.labels("MASC-Net").any() == is_read


def test_a_single_slice_that_is_deleted_is_written_again(proposals, tmp_path):
    for file in proposals.folder.glob("*/2"):
        file.unlink()
    assert proposals.write_again() == ""
    assert np.array_equal(Proposals(tmp_path, SHAPE).labels("MASC-Net")[2], drawn(2))


def test_a_folder_that_was_moved_is_not_made_anew(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    proposals = Proposals(folder, SHAPE)
    folder.rename(tmp_path / "moved")
    proposals.write("MASC-Net", 1, drawn(1))
    assert not folder.exists()
    (tmp_path / "moved").rename(folder)
    proposals.write_again()
    assert np.array_equal(Proposals(folder, SHAPE).labels("MASC-Net")[1], drawn(1))


def test_how_unsure_the_last_network_was_is_there_after_a_restart(proposals, tmp_path):
    proposals.write("MASC-Net", 3, drawn(0), 12.5)
    proposals.write("Res/Att U-Net", 1, drawn(0), 4.0)
    for each in (proposals, Proposals(tmp_path, SHAPE)):
        assert np.array_equal(each.uncertain_voxels, [np.nan, 4.0, np.nan, 12.5], equal_nan=True)
    proposals.write("MASC-Net", 1, drawn(1))
    assert np.isnan(Proposals(tmp_path, SHAPE).uncertain_voxels[1])


@pytest.mark.parametrize("damage", [b"", b"rubbish", bytes(8 * 3)])
def test_damaged_uncertainty_is_nobody_asked(proposals, tmp_path, damage):
    proposals.write("MASC-Net", 3, drawn(0), 12.5)
    (tmp_path / "proposals" / "uncertain_voxels").write_bytes(damage)
    assert np.isnan(Proposals(tmp_path, SHAPE).uncertain_voxels).all()


def test_a_slice_that_unpacks_to_far_more_than_it_can_hold_is_left_out(proposals):
    (path,) = [each / "2" for each in proposals.folder.glob("*") if (each / "1").exists()]
    path.write_bytes(zlib.compress(bytes(200_000_000), 9))
    tracemalloc.start()
    masc = Proposals(proposals.folder.parent, SHAPE).labels("MASC-Net")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(masc[1], drawn(1))
    assert not masc[2].any()
    assert most < 1_000_000
