"""The --cases layout, written here and read back; and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_covseg.io import write_labels
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.volume import Geometry, LabelMap


def _volume_case(folder, name, orientation=(-1, -1, 1)):
    import nibabel as nib

    shape = (20, 16, 5)
    affine = np.diag([*(s * m for s, m in zip(orientation, (0.7, 0.7, 5.0), strict=True)), 1.0])
    hu = np.full(shape, -800, np.int16)
    values = np.zeros(shape, np.uint8)
    values[2:5, 10:14, 4] = 3  # patient's right (axis 0 grows to L), dorsal, at the apex
    hu[values == 3] = 10
    nib.save(nib.Nifti1Image(hu, affine), folder / f"{name}_ct.nii.gz")
    write_labels(LabelMap(values, Geometry(shape, affine)), folder / f"{name}_lesion.nii.gz")


def test_a_volume_case_is_read_in_reading_order(tmp_path):
    _volume_case(tmp_path, "a")
    (case,) = find_cases([tmp_path])
    scan, labels, lung = read_case(case)
    assert lung is None
    assert scan.geometry.orientation == "IPL"
    assert labels.values[0].any()  # the apex is slice 1
    assert not labels.values[1:].any()
    rows, columns = np.nonzero(labels.values[0])
    assert rows.min() == 10  # dorsal is down
    assert columns.max() == 4  # the patient's right is on the left
    assert (scan.hu[0][labels.values[0] == 3] == 10).all()


def test_cases_json_says_what_was_annotated_and_whose_it_is(tmp_path):
    _volume_case(tmp_path, "a_1")
    _volume_case(tmp_path, "b")
    (tmp_path / "cases.json").write_text(
        json.dumps({"a_*": {"annotated": ["effusion"], "patient": "p9", "slices": [1, 3]}})
    )
    first, second = find_cases([tmp_path])
    assert (first.annotated, first.patient, first.slices) == ({"effusion"}, "p9", (1, 3))
    assert (second.annotated, second.patient) == ({"ggo", "consolidation", "effusion"}, tmp_path.name)


def test_a_folder_that_is_given_twice_counts_once(tmp_path, monkeypatch):
    (tmp_path / "cases").mkdir()
    (tmp_path / "link").symlink_to("cases")
    _volume_case(tmp_path / "cases", "a")
    monkeypatch.chdir(tmp_path)
    told = []
    (case,) = find_cases([Path("cases"), tmp_path / "cases", Path("link")], told.append)
    assert case.image == Path("cases") / "a_ct.nii.gz"
    given = [sentence for sentence in told if "given already" in sentence]
    assert given == [f"{each} was given already; its cases count once." for each in (tmp_path / "cases", "link")]


def test_slices_are_paired_by_name(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    imageio.imwrite(tmp_path / "x_image.png", grey)
    imageio.imwrite(tmp_path / "x_label.png", (grey > 100).astype(np.uint8))
    imageio.imwrite(tmp_path / "lonely_image.png", grey)
    (case,) = find_cases([tmp_path])
    scan, labels, _ = read_case(case)
    assert scan.hu[0, 0, 0] == -1000
    assert scan.hu[0, 7, 7] == pytest.approx(252 / 255 * 1400 - 1000, abs=0.01)
    assert labels.values[0].tolist() == (grey > 100).astype(int).tolist()


def test_an_empty_folder_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="holds no case"):
        find_cases([tmp_path])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        find_cases([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"it is no JSON \(Expecting property name .*\)"),
        ("[]", r"it must be \{case: …\}, not \[\]"),
        ("[" * 100_000, "recursion"),
        ('{"a": {}, "a": {"annotated": []}}', 'it says "a" twice'),
        ('{"a": {"patient": "p", "patient": "q"}}', 'it says "patient" twice'),
        ('{"a": ["ggo"]}', r'"a" must be \{key: …\}, not \["ggo"\]'),
        ('{"*": {"annotated": 3}}', r'"annotated" of "\*" holds 3; it must be a list of classes \(ggo, .*\)'),
        ('{"a": {"annotated": "ggo"}}', '"annotated" of "a" holds "ggo"; it must be a list of classes'),
        (
            '{"a": {"annotated": ["ggo", "Effusion"]}}',
            '"annotated" of "a" holds "Effusion"; .* effusion, infection, lung',
        ),
        ('{"a": {"annotated": ["lesion"]}}', '"annotated" of "a" holds "lesion"'),
        ('{"a": {"annotaded": ["ggo"]}}', '"a" has the key "annotaded", which is none of annotated, patient, slices'),
        ('{"a": {"patient": 12}}', '"patient" of "a" holds 12; it must be a name in quotes'),
        ('{"a": {"slices": "1-3"}}', '"slices" of "a" holds "1-3"; it must be a list of slice numbers'),
        ('{"a": {"slices": [1, true]}}', '"slices" of "a" holds true'),
        ('{"a": {"slices": [1.5]}}', r'"slices" of "a" holds 1\.5'),
    ],
)
def test_a_cases_json_with_a_slip_is_refused_in_a_sentence_that_names_it(tmp_path, text, words):
    _volume_case(tmp_path, "a")
    (tmp_path / "cases.json").write_text(text)
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(tmp_path))}.cases\.json cannot be understood: .*{words}"
    ) as said:
        find_cases([tmp_path])
    assert str(said.value).endswith("; correct it.")
    assert "\n" not in str(said.value)


def test_a_cases_json_in_another_encoding_is_refused_and_one_with_a_mark_of_its_own_is_read(tmp_path):
    _volume_case(tmp_path, "a")
    text = json.dumps({"a": {"patient": "Jörg"}}, ensure_ascii=False)
    for encoding in ("utf-16", "latin-1"):
        (tmp_path / "cases.json").write_text(text, encoding)
        with pytest.raises(ValueError, match=r"cases\.json cannot be understood: it is no text in UTF-8; correct it\."):
            find_cases([tmp_path])
    (tmp_path / "cases.json").write_text(text, "utf-8-sig")  # as Windows' Notepad saves it
    assert find_cases([tmp_path])[0].patient == "Jörg"


def test_the_entry_under_a_cases_own_name_wins_over_a_glob_before_it(tmp_path):
    for name in ("a", "b", "c[1]"):
        _volume_case(tmp_path, name)
    listing = {"*": {"patient": "any"}, "a": {"patient": "p1"}, "?": {"patient": "never"}, "c[1]": {"patient": "p2"}}
    (tmp_path / "cases.json").write_text(json.dumps(listing))
    assert [case.patient for case in find_cases([tmp_path])] == ["p1", "any", "p2"]


def test_a_bundles_case_whose_entry_was_lost_is_refused(tmp_path):
    """Two bundles copied into one folder: of two listings one is left, and nobody knows what was reviewed."""
    name, listed = "case-0123456789abcdef", tmp_path / "cases.json"
    _volume_case(tmp_path, name)
    listed.write_text(json.dumps({name: {"slices": [1]}}))
    assert [case.slices for case in find_cases([tmp_path])] == [(1,)]
    for listing in ({}, {name: {"annotated": ["ggo"]}}, {"*": {"patient": "a"}}):
        listed.write_text(json.dumps(listing))
        with pytest.raises(ValueError, match=f"does not say which slices of {name} were reviewed"):
            find_cases([tmp_path])


def test_an_entry_for_no_case_beside_a_case_without_entry_is_a_slip(tmp_path):
    _volume_case(tmp_path, "a_1")
    listed = tmp_path / "cases.json"
    listed.write_text(json.dumps({"a_01": {"annotated": ["effusion"]}}))
    with pytest.raises(
        ValueError, match=r'cases\.json has an entry "a_01", as no case is called, and none for a_1; corr'
    ):
        find_cases([tmp_path])
    listed.write_text(json.dumps({"a_1": {"annotated": ["effusion"]}, "b_*": {}}))  # part of a larger folder
    assert find_cases([tmp_path])[0].annotated == {"effusion"}


def test_a_folder_called_by_a_dot_gives_its_patient_a_name(tmp_path, monkeypatch):
    _volume_case(tmp_path, "a")
    (tmp_path / "deeper").mkdir()
    for place, path in ((tmp_path, "."), (tmp_path / "deeper", "..")):
        monkeypatch.chdir(place)
        assert find_cases([Path(path)])[0].patient == tmp_path.name


def test_what_is_left_out_is_said(tmp_path):
    for name in ("a", "b", "._a"):  # the last as macOS leaves it on other file systems
        _volume_case(tmp_path, name)
    (tmp_path / "b_lesion.nii.gz").unlink()
    (tmp_path / "c_label.png").write_bytes(b"")
    said = []
    (tmp_path / "cases.json").write_text('{"*": {}}')
    assert [case.name for case in find_cases([tmp_path], said.append)] == ["a"]
    assert [sentence.split(f" of {tmp_path} ") for sentence in said] == [
        ["Left out: 1 *_ct.nii.gz", "without *_lesion.nii.gz (b); add what is missing, if they are meant to count."],
        ["Left out: 1 *_label.png", "without *_image.png (c); add what is missing, if they are meant to count."],
    ]
    with pytest.warns(UserWarning, match="Left out"):
        find_cases([tmp_path])


def test_what_is_assumed_of_cases_that_nobody_listed_is_said(tmp_path):
    for name in "abcde":
        _volume_case(tmp_path, name)
    said = []
    found = find_cases([tmp_path], said.append)
    (tmp_path / "cases.json").write_text('{"a": {"patient": "p1"}}')
    find_cases([tmp_path], said.append)
    taken = "taken as annotated for ggo, consolidation and effusion, and"
    patient = f"as those of one patient, {tmp_path.name}."
    assert said == [
        f"There is no cases.json in {tmp_path}: every case is {taken} all {patient}",
        f"cases.json in {tmp_path} says nothing of 4 cases (b, c, d …): {taken} {patient}",
    ]
    assert {(case.patient, case.annotated) for case in found} == {
        (tmp_path.name, frozenset({"ggo", "consolidation", "effusion"}))
    }
    (tmp_path / "cases.json").write_text('{"a": {"patient": "p1"}, "*": {"annotated": ["effusion"]}}')
    find_cases([tmp_path], said.append)
    assert len(said) == 2


@pytest.mark.parametrize("part", ["label", "lung"])
def test_labels_that_are_no_picture_or_of_another_size_are_refused_in_a_sentence(tmp_path, part):
    grey = np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 5, 40, axis=1)
    for each in ("image", "label", "lung"):
        imageio.imwrite(tmp_path / f"a_{each}.png", grey if each == "image" else (grey > 100).astype(np.uint8))
    (case,) = find_cases([tmp_path])
    assert read_case(case)[2].values.sum() == (grey > 100).sum()
    path = tmp_path / f"a_{part}.png"
    imageio.imwrite(path, (grey > 100).astype(np.uint8)[:20])
    with pytest.raises(
        ValueError, match=rf"^a_{part}\.png is 40 × 20 pixels, and the picture that it marks 40 × 48; save"
    ):
        read_case(case)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^a_{part}\.png cannot be read as a picture: it is damaged"):
        read_case(case)


def test_slices_are_counted_from_the_apex_and_those_beyond_are_refused(tmp_path):
    _volume_case(tmp_path, "a")
    (case,) = find_cases([tmp_path])
    assert case.indices(3) == (0, 1, 2)
    assert replace(case, slices=(5, 1, 5)).indices(5) == (0, 4)
    assert replace(case, slices=()).indices(5) == ()
    for number in (-1, 0, 6):
        with pytest.raises(ValueError, match=rf"slices of a beyond its 5 \({number}\); correct them"):
            replace(case, slices=(1, number)).indices(5)


def test_the_real_cases_are_all_there(covseg_data):
    cases = find_cases([covseg_data / "volumes", covseg_data / "slices", covseg_data / "slices_infection"])
    patients = {case.patient for case in cases}
    assert len(cases) == 9 + 50 + 394
    assert {"m1", "m2", "l002", "slices", "c01", "c07"} <= patients
    by_name = {case.name: case for case in cases}
    assert by_name["lesion_2"].patient == by_name["lesion_3"].patient
    assert by_name["effusion_002"].annotated == {"effusion"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu > -300, r"a_ct\.nii\.gz is a label map"),
        (lambda hu: hu + 1024, r"a_ct\.nii\.gz holds values .* not Hounsfield units"),
        (
            lambda hu: np.clip((hu + 1000) // 6 + 3 * np.arange(len(hu))[:, None, None], 0, 255),
            r"a_ct\.nii\.gz holds the grey values .* \*_image\.png",
        ),
    ],
)
def test_a_case_comes_through_the_door_as_any_scan(tmp_path, change, words):
    import nibabel as nib

    _volume_case(tmp_path, "a")
    path = tmp_path / "a_ct.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)).astype(np.int16), image.affine), path)
    with pytest.raises(ValueError, match=words):
        read_case(*find_cases([tmp_path]))


def test_labels_of_another_place_or_of_no_class_are_refused(tmp_path):
    import nibabel as nib

    _volume_case(tmp_path, "a")
    path = tmp_path / "a_lesion.nii.gz"
    image = nib.load(path)
    values, moved = np.asarray(image.dataobj), image.affine.copy()
    moved[2, 3] += 20
    nib.save(nib.Nifti1Image(values, moved), path)
    with pytest.raises(ValueError, match="lies beside a_ct"):
        read_case(*find_cases([tmp_path]))
    nib.save(nib.Nifti1Image(values * 5, image.affine), path)
    with pytest.raises(ValueError, match="15, which is no class"):
        read_case(*find_cases([tmp_path]))


def test_a_damaged_picture_or_one_of_too_many_classes_is_refused_in_a_sentence(tmp_path):
    grey = np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 5, 40, axis=1)
    imageio.imwrite(tmp_path / "a_image.png", grey)
    imageio.imwrite(tmp_path / "a_label.png", (grey > 100).astype(np.uint16) * 700)
    with pytest.raises(ValueError, match=r"a_label\.png holds values up to 700; a label slice has classes 0…255"):
        read_case(*find_cases([tmp_path]))
    imageio.imwrite(tmp_path / "a_label.png", (grey > 100).astype(np.uint8))
    assert read_case(*find_cases([tmp_path]))[0].hu.max() == pytest.approx(235 / 255 * 1400 - 1000, abs=0.01)
    imageio.imwrite(tmp_path / "a_image.png", grey.astype(np.uint16) * 257)
    assert read_case(*find_cases([tmp_path]))[0].hu.max() == pytest.approx(235 / 255 * 1400 - 1000, abs=0.01)
    for name in ("a_image.png", "a_label.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a picture: it is damaged"):
            read_case(*find_cases([tmp_path]))
        (tmp_path / name).write_bytes(content)
