"""Where DICOM files lie: linked folders, broken links, hidden files, and zips that are not what they say."""

from __future__ import annotations

import sys
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from napari_covseg.io import format_of, memory, read_volume
from napari_covseg.io.dicom_paths import files_at, stream_of

from .series import SLICES, series_in

linked = pytest.mark.skipif(sys.platform == "win32", reason="links take a right there")


def split_in(tmp_path):
    """A series of which half lies beside its folder."""
    folder, beside = series_in(tmp_path / "case", series_uid="1.2.3.1111"), tmp_path / "beside"
    whole = read_volume(folder).hu
    beside.mkdir()
    for number in (0, 2):  # the first two in space
        (folder / f"1111-{number}.dcm").rename(beside / f"1111-{number}.dcm")
    return folder, beside, whole


@linked
def test_a_linked_folder_is_read_with_the_folder_and_once(tmp_path):
    folder, _, whole = split_in(tmp_path)
    assert read_volume(folder).hu.shape[2] < SLICES
    for name in ("one", "two"):
        (folder / name).symlink_to("../beside")
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.hu, whole)
    assert not any("passed over" in note or "twice" in note for note in scan.notes)


@linked
def test_a_folder_of_nothing_but_links_is_a_series(tmp_path):
    folder, beside, whole = split_in(tmp_path)
    links = tmp_path / "links"
    links.mkdir()
    (links / "a").symlink_to(folder)
    (links / "b").symlink_to(beside)
    assert format_of(links) == "DICOM"
    np.testing.assert_array_equal(read_volume(links).hu, whole)


@linked
def test_links_that_go_round_are_walked_once(tmp_path):
    (tmp_path / "case").mkdir()
    folder = series_in(tmp_path / "case" / "series")
    (folder / "loop").symlink_to("..")
    (folder / "self").symlink_to(".")
    (folder / "root").symlink_to("/")
    assert read_volume(tmp_path / "case").hu.shape[2] == SLICES
    assert read_volume(folder).hu.shape[2] == SLICES


@linked
@pytest.mark.parametrize("name", ["IM9.dcm", "IM9"])
@pytest.mark.parametrize("target", ["gone.dcm", "IM9.dcm", "IM9"])
def test_a_link_that_leads_nowhere_is_called_one(tmp_path, name, target):
    folder = series_in(tmp_path / "case")
    (folder / name).symlink_to(target)
    with pytest.raises(ValueError, match=rf"^{name} is a broken link: .*; copy the files themselves, or remove it\.$"):
        read_volume(folder)


@pytest.mark.parametrize("is_zipped", [False, True])
def test_hidden_slices_are_named(tmp_path, is_zipped):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    for name in (".DS_Store", "._junk.dcm", ".note"):
        (folder / name).write_bytes(b"\0" * 200)

    def notes():
        if not is_zipped:
            return read_volume(folder).notes
        members = [(file.name, file.read_bytes()) for file in folder.iterdir()]
        return read_volume(zipped(tmp_path / "case.zip", members)).notes

    assert not any("passed over, whose" in note for note in notes())
    (folder / "1111-1.dcm").rename(folder / ".1111-1.dcm")
    hidden = "Hidden files were passed over, whose names begin with a dot: .1111-1.dcm"
    assert f"{hidden}; rename them if they are slices." in notes()


def test_a_hidden_folder_of_slices_is_named(tmp_path):
    folder = series_in(tmp_path / "case")
    series_in(folder / ".old")
    (folder / ".git").mkdir()
    assert any("begin with a dot: .old; rename" in note for note in read_volume(folder).notes)


def zipped(path, members):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_a_zip_whose_files_have_one_name_is_refused(tmp_path):
    files = [file.read_bytes() for file in series_in(tmp_path / "case").iterdir()]
    sentence = (
        r"same\.zip holds several files under one name \(IM\.dcm\), .*; zip the series again with a name for each"
    )
    for members in (
        [("a/IM.dcm", each) for each in files],
        [("IM.dcm", files[0]), ("IM.dcm", files[1]), ("b", files[2])],
    ):
        with pytest.raises(ValueError, match=sentence):
            read_volume(zipped(tmp_path / "same.zip", members))
    different = [(f"{number}/IM.dcm", each) for number, each in enumerate(files)]
    assert read_volume(zipped(tmp_path / "same.zip", different)).hu.shape[2] == SLICES


def inflated(tmp_path, beyond_bytes):
    first, *others = [(file.name, file.read_bytes()) for file in series_in(tmp_path / "case").iterdir()]
    return zipped(tmp_path / "bomb.zip", [(first[0], first[1] + bytes(beyond_bytes)), *others]), first[0]


def test_a_member_that_unpacks_far_beyond_its_image_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path, name = inflated(tmp_path, 80 << 20)
    assert path.stat().st_size < 1 << 20
    unpacked = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: unpacked.append(len(it := read(self, n))) or it)
    with pytest.raises(ValueError, match=rf"{name} unpacks to 80 MB, far beyond the 0\.00 MB of its image: .* zip the"):
        read_volume(path)
    assert sum(unpacked) < 1 << 20


def test_the_memory_for_a_zip_is_that_of_two_copies(tmp_path, monkeypatch):
    path, _ = inflated(tmp_path, 30 << 20)
    monkeypatch.setattr(memory, "available_bytes", lambda: 50 << 20)
    with pytest.raises(ValueError, match=r"bomb\.zip needs 0\.1 GB of memory"):
        read_volume(path)


@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_unpacking_a_member_takes_its_size_once(tmp_path, kind):
    size = 20 << 20
    content = bytes(size) if kind == "zeros" else np.random.default_rng(0).bytes(size)
    member = zipfile.Path(zipfile.ZipFile(zipped(tmp_path / "case.zip", [("a", content)])), "a")
    tracemalloc.start()
    stream = stream_of(member)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stream.read() == content
    assert peak < 1.3 * size


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.99])
def test_every_byte_of_a_member_is_checked_be_it_a_slice_or_not(tmp_path, kind, place):
    noise = np.random.default_rng(0).bytes(5000)
    path = tmp_path / "case.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for file in series_in(tmp_path / "case").iterdir():
            archive.write(file, file.name)
        before = archive.fp.tell()
        archive.writestr("report", noise)
    content = bytearray(path.read_bytes())
    assert read_volume(path).hu.shape[2] == SLICES
    content[before + 40 + int(place * len(noise))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="report cannot be read as DICOM; copy or export it again"):
        read_volume(path)


def test_a_hidden_link_does_not_hide_the_folder_it_leads_to(tmp_path):
    (tmp_path / "scan" / "series").mkdir(parents=True)
    (tmp_path / "scan" / "series" / "a.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "scan" / ".latest").symlink_to("series")
    assert [file.name for file in files_at(tmp_path / "scan").files] == ["a.dcm"]
