from __future__ import annotations

from pathlib import Path

import pytest

from napari_covseg.io.files import home, stem_of, written


def test_a_written_file_takes_its_name_at_the_end(tmp_path):
    target = tmp_path / "new" / "folder" / "case.nii.gz"
    with written(target) as draft:
        draft.write_bytes(b"labels")
        assert not target.exists()
        assert draft.parent == target.parent
        assert draft.name.endswith("case.nii.gz")
    assert target.read_bytes() == b"labels"
    assert list(target.parent.iterdir()) == [target]


def test_a_written_file_replaces_the_old_one_only_at_the_end(tmp_path):
    target = tmp_path / "case.nii"
    target.write_bytes(b"old")
    with written(target) as draft:
        draft.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_draft(tmp_path, error):
    target = tmp_path / "case.nii"
    target.write_bytes(b"old")
    with pytest.raises(error), written(target) as draft:  # noqa: PT012 - first half a file, then the error
        draft.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_exception_before_the_first_byte_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="early"), written(tmp_path / "case.nii"):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_replaced_leaves_no_draft(tmp_path):
    target = tmp_path / "case.nii"
    target.mkdir()
    with pytest.raises(OSError), written(target) as draft:  # noqa: PT011 - the platform words it
        draft.write_bytes(b"labels")
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_of_one_file_use_two_drafts(tmp_path):
    target = tmp_path / "case.nii"
    with written(target) as one, written(target) as two:
        assert one != two
        one.write_bytes(b"1")
        two.write_bytes(b"2")
    assert target.read_bytes() == b"1"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("case.nii.gz", "case"),
        ("case.nii", "case"),
        ("CASE.NII.GZ", "CASE"),
        ("1-01.dcm", "1-01"),
        ("001_image.png", "001_image"),
        ("study.2020.nii", "study.2020"),
        ("notes.txt", "notes.txt"),
        (".nii.gz", ".nii.gz"),
    ],
)
def test_a_stem_is_the_name_without_its_formats(name, stem):
    assert stem_of(Path("somewhere") / name) == stem


def test_a_folder_keeps_its_whole_name(tmp_path, monkeypatch):
    folder = tmp_path / "series.dcm"
    folder.mkdir()
    assert stem_of(folder) == "series.dcm"
    monkeypatch.chdir(folder)
    assert stem_of(Path(".")) == "series.dcm"
    assert stem_of(Path("..")) == tmp_path.name


def test_home_is_where_the_environment_says(isolated_home, monkeypatch):
    assert home() == isolated_home
    monkeypatch.delenv("COVSEG_HOME")
    assert home().name == "covseg"


def test_what_the_system_refuses_is_told_of_the_file_and_no_folder_is_made_that_was_there(tmp_path):
    target = tmp_path / "gone" / "case.nii"
    with pytest.raises(FileNotFoundError) as refused, written(target, makes_folder=False) as draft:
        draft.touch()
    assert refused.value.filename == str(target)
    assert not target.parent.exists()
