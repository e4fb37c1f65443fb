"""A network against annotated cases: which classes, which slices, which averages."""

import json
from types import SimpleNamespace

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_covseg.inference import Segmentation, Segmenter
from napari_covseg.io.cases import find_cases
from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import Card, checkpoint, load
from napari_covseg.training.evaluation import differences, evaluated
from napari_covseg.volume import LUNGS, LabelMap

LESION_CLASSES = ("ggo", "consolidation", "effusion")
SHAPE = (4, 3, 5)
"""Columns, rows and slices of a case on disk; 0.01 mL a voxel."""


class Oracle:
    """A segmenter that proposes what it is told, in reading order, and remembers what it was asked."""

    def __init__(self, proposals, scheme=LESION_CLASSES, lungs=None):
        self.checkpoint = SimpleNamespace(card=SimpleNamespace(scheme=scheme))
        self.device = SimpleNamespace(type="cpu")
        self.proposals, self.lungs, self.asked = proposals, lungs or {}, {}

    def segment(self, scan, slices):
        name = scan.name.removesuffix("_ct")
        self.asked[name] = tuple(slices)
        values = np.zeros(scan.geometry.shape, np.uint8)
        lung = np.zeros_like(values)
        for done, index in enumerate(slices, start=1):
            values[index] = np.asarray(self.proposals.get(name, values))[index]
            yield Progress(done, len(slices), f"slice {index + 1}")
        if name in self.lungs:
            lung[:] = self.lungs[name]
        labels = LabelMap(values, scan.geometry)
        return Segmentation(labels, LabelMap(lung, scan.geometry, LUNGS) if self.lungs else None, tuple(slices), "cpu")


def reading(*marks):
    """Return label values in reading order, (slices, rows, columns), with some voxels set."""
    values = np.zeros(SHAPE[::-1], np.uint8)
    for place, value in marks:
        values[place] = value
    return values


def write(folder, name, labels, lung=None, **entry):
    """Write a case given in reading order, and its line in cases.json."""
    affine = np.diag([-1.0, -2.0, 5.0, 1.0])  # L P S: reading order is its slices upside down
    folder.mkdir(exist_ok=True)
    hu = np.random.default_rng(0).choice(np.array([-1000, -820, -60, 40], np.int16), labels.shape)
    parts = {"ct": hu, "lesion": labels, "lung": lung}
    for part, values in parts.items():
        if values is not None:
            nib.save(nib.Nifti1Image(values[::-1].T, affine), folder / f"{name}_{part}.nii.gz")
    listed = folder / "cases.json"
    entries = json.loads(listed.read_text()) if listed.exists() else {}
    listed.write_text(json.dumps({**entries, name: {"patient": name, **entry}}))


def evaluation(folder, oracle):
    return drain(evaluated(oracle, find_cases([folder])))


def test_pooled_case_mean_and_slice_mean_by_hand(tmp_path):
    """One case half right on two slices, one missed on one, one without but with a false alarm of two voxels."""
    half = reading(((0, 0, 0), 1), ((0, 0, 1), 1), ((1, 0, 0), 1), ((1, 0, 1), 1))
    write(tmp_path, "a", half)
    write(tmp_path, "b", reading(((2, 0, 0), 2)))
    write(tmp_path, "c", reading())
    proposals = {
        "a": reading(((0, 0, 0), 1), ((0, 0, 1), 1)),
        "b": reading(((2, 2, 2), 2)),
        "c": reading(((4, 0, 0), 2), ((4, 0, 1), 2)),
    }
    found = evaluation(tmp_path, Oracle(proposals))
    assert found.pooled()["lesion"]["dice"] == pytest.approx(2 * 2 / (2 * 2 + 3 + 3), abs=1e-6)
    assert found.pooled()["lesion"]["cases"] == 3
    case_mean = found.case_mean()["lesion"]
    assert case_mean["dice"] == pytest.approx((4 / 6 + 0) / 2, abs=1e-6)
    assert (case_mean["cases"], case_mean["cases_without"]) == (2, 1)
    assert case_mean["false_positive_ml"] == pytest.approx(0.02)
    assert case_mean["hd95_mm"] == pytest.approx((5.0 + np.hypot(4, 2)) / 2, abs=1e-6)
    slice_mean = found.slice_mean()["lesion"]
    assert slice_mean["dice"] == pytest.approx((1 + 0 + 0) / 3, abs=1e-6)
    assert slice_mean["slices"] == 3
    assert slice_mean["not_defined"] == {"precision": 1}  # nothing was marked on a's second slice
    assert found.pooled()["ggo"]["dice"] == pytest.approx(4 / 6, abs=1e-6)
    assert found.case_mean()["ggo"]["cases"] == 1
    assert found.case_mean()["effusion"] == {
        **dict.fromkeys(case_mean.keys() - {"cases", "cases_without", "false_positive_ml"}),
        "cases": 0,
        "cases_without": 3,
        "false_positive_ml": 0.0,
    }


def test_a_case_of_effusion_alone_does_not_touch_the_lesion_score(tmp_path):
    write(tmp_path, "lesions", reading(((0, 0, 0), 1)), annotated=["ggo", "consolidation"])
    oracle = Oracle({"lesions": reading(((0, 0, 0), 1)), "fluid": reading(((0, 0, 0), 1), ((1, 1, 1), 3))})
    alone = evaluation(tmp_path, oracle)
    write(tmp_path, "fluid", reading(((1, 1, 1), 3)), annotated=["effusion"])
    both = evaluation(tmp_path, oracle)
    for kind in ("pooled", "case_mean", "slice_mean"):
        assert getattr(both, kind)()["lesion"] == getattr(alone, kind)()["lesion"]
    assert "effusion" not in alone.pooled()
    assert both.pooled()["effusion"]["cases"] == 1
    assert both.cases[0].classes.keys() == {"effusion"}


def test_an_infection_checkpoint_is_scored_on_lesions_and_not_asked_for_effusion(tmp_path):
    write(tmp_path, "lesions", reading(((0, 0, 0), 1)))
    write(tmp_path, "fluid", reading(((1, 1, 1), 3)), annotated=["effusion"])
    oracle = Oracle({"lesions": reading(((0, 0, 0), 4))}, scheme=("infection",))
    found = evaluation(tmp_path, oracle)
    assert found.names == ("lesion",)
    assert found.pooled()["lesion"]["dice"] == 1
    assert oracle.asked.keys() == {"lesions"}
    assert [one.figures().keys() for one in found.cases] == [set(), {"lesion"}]


def test_a_case_of_unspecified_opacities_is_scored_as_lesion_alone(tmp_path):
    write(tmp_path, "a", reading(((0, 0, 0), 4), ((0, 0, 1), 4)), annotated=["infection"])
    found = evaluation(tmp_path, Oracle({"a": reading(((0, 0, 0), 1), ((0, 0, 1), 2))}))
    assert found.names == ("lesion",)
    assert found.pooled()["lesion"]["dice"] == 1


def test_lung_is_scored_where_the_network_knows_it_and_the_case_has_it(tmp_path):
    lung = reading()
    lung[:3] = 1
    write(tmp_path, "with", reading(), lung, annotated=["lung"])
    write(tmp_path, "without", reading())
    knows = evaluation(tmp_path, Oracle({}, lungs={"with": 1}))
    assert knows.pooled()["lung"]["sensitivity"] == 1
    assert knows.pooled()["lung"]["precision"] == pytest.approx(3 / 5)
    assert knows.pooled()["lung"]["cases"] == 1
    assert "lung" not in evaluation(tmp_path, Oracle({})).pooled()


def test_only_the_slices_that_count_are_segmented_and_compared(tmp_path):
    write(tmp_path, "a", reading(((0, 0, 0), 1), ((3, 0, 0), 1)), slices=[4, 1, 4])
    oracle = Oracle({"a": reading(((0, 0, 0), 1), ((1, 0, 0), 1), ((3, 0, 0), 1))})
    found = evaluation(tmp_path, oracle)
    assert oracle.asked == {"a": (0, 3)}
    assert found.pooled()["lesion"]["dice"] == 1
    assert found.pooled()["lesion"]["mae"] == 0
    write(tmp_path, "a", reading(((0, 0, 0), 1), ((3, 0, 0), 1)))
    assert evaluation(tmp_path, oracle).pooled()["lesion"]["precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert oracle.asked == {"a": tuple(range(5))}


@pytest.mark.parametrize("number", [0, 6])
def test_a_slice_that_there_is_not_is_refused(tmp_path, number):
    write(tmp_path, "a", reading(), slices=[1, number])
    with pytest.raises(ValueError, match=r"slices of a beyond its 5"):
        evaluation(tmp_path, Oracle({}))


def test_every_picture_of_a_patient_is_a_case(tmp_path):
    for name in ("x-1", "x-2"):
        imageio.imwrite(tmp_path / f"{name}_image.png", np.zeros((6, 8), np.uint8))
        imageio.imwrite(tmp_path / f"{name}_label.png", np.eye(6, 8, dtype=np.uint8) * 4)
    (tmp_path / "cases.json").write_text(json.dumps({"x-*": {"annotated": ["infection"], "patient": "x"}}))
    found = evaluation(tmp_path, Oracle({}))
    assert [(one.case, one.patient) for one in found.cases] == [("x-1", "x"), ("x-2", "x")]
    assert found.case_mean()["lesion"]["cases"] == found.slice_mean()["lesion"]["slices"] == 2


def test_progress_counts_cases_and_names_slices(tmp_path):
    for name in "ab":
        write(tmp_path, name, reading(), slices=[2])
    told = []
    drain(evaluated(Oracle({}), find_cases([tmp_path])), told.append)
    assert [(step.done, step.total, step.doing) for step in told if isinstance(step, Progress)] == [
        (0, 2, "a"),
        (0, 2, "a, slice 2"),
        (1, 2, "b"),
        (1, 2, "b, slice 2"),
        (2, 2, ""),
    ]


def test_differences_are_those_of_the_cases_that_contain_the_class(tmp_path):
    right = reading(((0, 0, 0), 1), ((0, 0, 1), 1))
    for name, labels in (("a", right), ("b", right), ("c", reading())):
        write(tmp_path, name, labels)
    half = reading(((0, 0, 0), 1))
    first = evaluation(tmp_path, Oracle({"a": right, "b": half}))
    second = evaluation(tmp_path, Oracle({"a": half, "b": half, "c": half}, scheme=("infection",)))
    found = differences(first, second)
    assert found.keys() == {"lesion"}  # the one class both know
    assert found["lesion"].mean == pytest.approx((1 / 3 + 0) / 2)
    assert (found["lesion"].cases, found["lesion"].patients) == (2, 2)
    assert differences(second, first)["lesion"].mean == -found["lesion"].mean


def test_differences_need_the_same_cases(tmp_path):
    write(tmp_path / "one", "a", reading())
    write(tmp_path / "other", "b", reading())
    one, other = (evaluation(tmp_path / folder, Oracle({})) for folder in ("one", "other"))
    with pytest.raises(ValueError, match="same cases"):
        differences(one, other)


KINDS = {
    "masc_net": {"lesion"},
    "chs_net": {"lesion", "lung"},
    "covid_segnet": {"lesion", "lung"},
    "two_stream_segnet": {"lesion", "ggo", "consolidation", "lung"},
    "res_att_unet": {"lesion", "ggo", "consolidation", "effusion"},
}


@pytest.mark.parametrize(("key", "names"), KINDS.items())
def test_each_network_is_scored_on_what_its_paper_knows(tmp_path, key, names):
    import torch

    spec = load(key)
    torch.manual_seed(0)
    card = Card(network=key, width="compact", scheme=spec.scheme, trained_on="nothing")
    saved = checkpoint.save(spec.build(spec.scheme, "compact"), card, tmp_path / "untrained.safetensors")
    labels, lung = reading(((2, 0, 0), 1), ((2, 1, 1), 2), ((2, 2, 2), 3)), np.ones_like(reading())
    write(tmp_path / "cases", "a", labels, lung, slices=[3])
    found = evaluation(tmp_path / "cases", Segmenter(saved, "cpu"))
    assert set(found.names) == names
    assert found.checkpoint.sha256 == saved.sha256
    assert found.seconds > 0


def test_the_shipped_network_finds_the_lesion_of_a_real_picture(covseg_data):
    (case,) = [case for case in find_cases([covseg_data / "slices_infection"]) if case.name == "c07-020"]
    found = drain(evaluated(Segmenter(checkpoint.find("res_att_unet"), "cpu"), [case]))
    assert found.pooled()["lesion"]["dice"] > 0.3
    assert found.case_mean()["lesion"]["hd95_mm"] > 0


def test_a_case_limited_to_no_slice_is_neither_segmented_nor_scored(tmp_path):
    write(tmp_path, "a", reading(((0, 0, 0), 1)), slices=[])
    oracle = Oracle({})
    assert not evaluation(tmp_path, oracle).names
    assert oracle.asked == {}
