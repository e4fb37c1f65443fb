"""Which files the voxels of NRRD and MetaImage lie in, where they begin, and that they end with the last of them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

from napari_covseg.io import read_volume

from .itk_files import HU, META, NRRD, by_hand

DEPTH = len(HU)


def in_many(path, members, named, head=b""):
    """Write a header that names many files, and the members beside it, each (slices, row, column)."""
    fields, last = (NRRD, "data file") if path.suffix == ".nhdr" else (META, "ElementDataFile")
    mark = ": " if path.suffix == ".nhdr" else " = "
    lines = ["NRRD0005"] * (path.suffix == ".nhdr") + [f"{name}{mark}{value}" for name, value in fields.items()]
    path.write_text("\n".join([*lines, f"{last}{mark}{named}"]) + "\n")
    for number, voxels in enumerate(members):
        (path.parent / f"s{number:03d}.raw").write_bytes(head + voxels.tobytes())
    return path


def listed(count):
    return "\n".join(["LIST", *(f"s{number:03d}.raw" for number in range(count))])


@pytest.mark.parametrize("name", ["case.mhd", "case.nhdr"])
@pytest.mark.parametrize("named", [listed(DEPTH), f"s%03d.raw 0 {DEPTH - 1} 1"])
def test_slices_in_files_of_their_own_are_read_as_simpleitk_reads_them(tmp_path, name, named):
    path = in_many(tmp_path / name, HU, named)
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), HU)


def test_several_slices_in_each_file_are_read(tmp_path):
    path = in_many(tmp_path / "case.nhdr", (HU[:3], HU[3:6]), listed(2).replace("LIST", "LIST 3"))
    path.write_text(path.read_text().replace("sizes: 5 6 7", "sizes: 5 6 6"))
    np.testing.assert_array_equal(read_volume(path).hu, HU[:6].transpose(2, 1, 0))


@pytest.mark.parametrize("name", ["case.mhd", "case.nhdr"])
@pytest.mark.parametrize(
    ("named", "count"),
    [(listed(DEPTH - 1), 6), (listed(DEPTH + 1), 8), (f"s%03d.raw 0 {DEPTH - 1} 2", 4), ("s%03d.raw 0 0 1", 1)],
)
def test_another_number_of_files_than_of_slices_is_refused(tmp_path, name, named, count):
    path = in_many(tmp_path / name, (*HU, HU[0]), named)
    with pytest.raises(ValueError, match=rf"{name} names {count} files? for 7 slices: .*; export it again"):
        read_volume(path)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), r"s003\.raw ends before its last voxel"),
        (lambda file: file.write_bytes(file.read_bytes() * 2), r"s003\.raw goes on after its last voxel"),
        (lambda file: file.unlink(), r"case\.mhd keeps some of its slices in s003\.raw, which is not beside it; put"),
    ],
)
def test_each_file_of_many_holds_its_slice_and_no_more(tmp_path, change, refused):
    path = in_many(tmp_path / "case.mhd", HU, listed(DEPTH))
    change(tmp_path / "s003.raw")
    with pytest.raises(ValueError, match=refused):
        read_volume(path)


def test_a_file_that_is_named_for_two_slices_is_refused(tmp_path):
    path = in_many(tmp_path / "case.mhd", HU, listed(DEPTH).replace("s004", "s003"))
    with pytest.raises(ValueError, match=r"names s003\.raw for two of its slices"):
        read_volume(path)


@pytest.mark.parametrize("named", ["s%03d.raw 0 6 0", "s%s.raw 0 6 1", "s%03d%n.raw 0 6 1", "LIST 1", "LIST x"])
def test_a_pattern_that_nobody_understands_is_refused(tmp_path, named):
    with pytest.raises(ValueError, match=r"case\.mhd cannot be read"):
        read_volume(in_many(tmp_path / "case.mhd", HU, named))


def test_an_empty_line_in_a_list_is_told_and_not_called_damage(tmp_path):
    with pytest.raises(ValueError, match=r"has an empty line in its list of files.*; take it out"):
        read_volume(in_many(tmp_path / "case.nhdr", HU, listed(DEPTH) + "\n"))


HEAD = b"12345\nab"
SKIPS = [("case.mhd", {"HeaderSize": len(HEAD)}), ("case.mhd", {"HeaderSize": -1})]
SKIPS += [("case.nhdr", {"byte skip": len(HEAD)}), ("case.nhdr", {"line skip": 1, "byte skip": 2})]
SKIPS += [("case.nhdr", {"byte skip": -1})]


def beside(tmp_path, name, skips, content):
    fields, last, mark = (NRRD, "data file", ": ") if name == "case.nhdr" else (META, "ElementDataFile", " = ")
    lines = ["NRRD0005"] * (name == "case.nhdr") + [f"{key}{mark}{value}" for key, value in {**fields, **skips}.items()]
    (tmp_path / name).write_text("\n".join([*lines, f"{last}{mark}s.raw"]) + "\n")
    (tmp_path / "s.raw").write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(("name", "skips"), SKIPS)
def test_a_head_before_the_voxels_is_skipped_as_simpleitk_does(tmp_path, name, skips):
    path = beside(tmp_path, name, skips, HEAD + HU.tobytes())
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), HU)


@pytest.mark.parametrize(
    ("name", "skips"),
    [
        ("case.mhd", {"HeaderSize": 4}),
        ("case.mhd", {"HeaderSize": "00"}),
        ("case.nhdr", {"byte skip": 6}),
        ("case.nhdr", {"line skip": 1}),
        ("case.nhdr", {"line skip": 0, "byte skip": 0}),
    ],
)
def test_a_skip_that_leaves_bytes_over_is_refused(tmp_path, name, skips):
    with pytest.raises(ValueError, match=r"s\.raw goes on after its last voxel: it or its header is damaged; copy"):
        read_volume(beside(tmp_path, name, skips, HEAD + HU.tobytes()))


@pytest.mark.parametrize(
    ("name", "skips"),
    [
        ("case.mhd", {"HeaderSize": 10}),
        ("case.nhdr", {"byte skip": 10}),
        ("case.nhdr", {"line skip": 1, "byte skip": 3}),
    ],
)
def test_a_skip_over_voxels_is_refused(tmp_path, name, skips):
    with pytest.raises(ValueError, match=r"s\.raw ends before its last voxel"):
        read_volume(beside(tmp_path, name, skips, HEAD + HU.tobytes()))


@pytest.mark.parametrize("skips", [{"HeaderSize": -7}, {"HeaderSize": "8 "}, {"HeaderSize": "8x"}, {"HeaderSize": "٨"}])
def test_a_skip_that_is_no_number_is_refused(tmp_path, skips):
    path = beside(tmp_path, "case.mhd", skips, HEAD + HU.tobytes())
    if skips["HeaderSize"] == "8 ":
        np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    else:
        with pytest.raises(ValueError, match=r"case\.mhd cannot be read as MetaImage"):
            read_volume(path)


def test_of_a_packed_nrrd_unpacked_bytes_are_skipped(tmp_path):
    path = beside(tmp_path, "case.nhdr", {"encoding": "gzip", "byte skip": 8}, gzip.compress(HEAD + HU.tobytes()))
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), HU)
    with pytest.raises(ValueError, match="goes on after its last voxel"):
        read_volume(
            beside(tmp_path, "case.nhdr", {"encoding": "gzip", "byte skip": 6}, (tmp_path / "s.raw").read_bytes())
        )


def as_text(path, words):
    head = by_hand(path, encoding="ascii", endian=None).read_bytes().split(b"\n\n", 1)[0]
    path.write_bytes(head + b"\n\n" + " ".join(words).encode() + b"\n")
    return path


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda words: words[:-1], "ends before its last voxel"),
        (lambda words: [*words, "0"], "goes on after its last voxel"),
        (lambda words: ["x", *words[1:]], "ends before its last voxel or is damaged"),
        (lambda words: ["70000", *words[1:]], "not of the type it states"),
        (lambda words: ["0.5", *words[1:]], "not of the type it states"),
    ],
)
def test_voxels_as_text_are_as_many_as_there_should_be(tmp_path, change, refused):
    words = [str(value) for value in HU.ravel()]
    np.testing.assert_array_equal(read_volume(as_text(tmp_path / "case.nrrd", words)).hu, HU.transpose(2, 1, 0))
    with pytest.raises(ValueError, match=refused):
        read_volume(as_text(tmp_path / "case.nrrd", change(words)))


@pytest.mark.parametrize("coding", ["hex", "bzip2", "zrl"])
def test_a_coding_that_nobody_here_reads_is_named(tmp_path, coding):
    with pytest.raises(ValueError, match=rf"case\.nrrd is packed as {coding}, .*; save it with gzip"):
        read_volume(by_hand(tmp_path / "case.nrrd", encoding=coding))


@pytest.mark.parametrize(("name", "field"), [("case.nrrd", "sizes"), ("case.mha", "DimSize")])
@pytest.mark.parametrize("size", ["0 6 7", "-5 6 7", "5.5 6 7"])
def test_sizes_that_no_scan_has_are_refused(tmp_path, name, field, size):
    with pytest.raises(ValueError, match=rf"{name} says that it has \S+ × 6 × 7 voxels, which no scan has; copy"):
        read_volume(by_hand(tmp_path / name, **{field: size}))


def test_a_long_header_is_read_to_its_end(tmp_path):
    path = by_hand(tmp_path / "case.nrrd")
    head, voxels = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(head + b"\nhistory:=" + b"v" * (3 << 20) + b"\n\n" + voxels)
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))


def test_numbers_written_shorter_than_they_are_stored_are_read(tmp_path):
    header = "NRRD0004\ntype: double\ndimension: 3\nsizes: 3 4 5\nspace: left-posterior-superior\n"
    header += "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: text\n\n"
    path = tmp_path / "scan.nrrd"
    numbers = list(range(-950, 250, 20))
    path.write_text(header + " ".join(map(str, numbers)))
    assert sorted(read_volume(path).hu.ravel().tolist()) == sorted(numbers)
    for left in (numbers[1:], numbers[:9]):
        path.write_text(header + " ".join(map(str, left)))
        with pytest.raises(ValueError, match=r"scan\.nrrd ends before its last voxel"):
            read_volume(path)
