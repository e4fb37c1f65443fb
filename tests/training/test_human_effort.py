"""The simulated reader: `benchmarks/bench_human_effort.py` runs whole, and tells what it promises."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from napari_covseg.io.cases import Case
from napari_covseg.review import queue
from napari_covseg.training import finetune, finetune_request, gate, keeping, rehearsal

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def effort(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("bench_human_effort")


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("effort_figures")


def test_what_is_kept_of_the_effort_is_for_the_same_settings_alone(effort, untrained, monkeypatch, tmp_path):
    def stamp(steps=80):
        case = Case("new", tmp_path, tmp_path, None, frozenset(), "patient")
        return effort._stamp(untrained.card.network, case, (), (), steps)

    first = stamp()
    assert stamp() == first
    assert stamp(steps=81) != first
    for module, name, value in (
        (finetune_request, "LESION_SHARE", 0.75),
        (finetune_request, "RATE", 1e-3),
        (finetune, "UNLABELLED", 16),
        (finetune_request, "KEEPING", keeping.Keeping(way=1.0)),
        (keeping, "FEW_SLICES", 3),
        (gate, "MARGIN", 0.02),
        (rehearsal, "ASKED", 5),
        (queue, "UNSURE_SHARE", 0.5),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, value)
            assert stamp() != first, name
    assert stamp() == first


def test_forgetting_is_told_of_all_children_and_of_promoted_ones_apart(figures):
    def arm(promoted, **others):
        return {"gate": {"promoted": promoted}, "others": others, "dice": {"lesion": 0.7}}

    done = {
        "before": {"others": {"lesion": 0.6, "ggo": 0.5}, "dice": {"lesion": 0.4}},
        "queue 5": arm(False, lesion=0.6, ggo=0.2),
        "queue 10": arm(True, lesion=0.55, ggo=0.6),
        "naive": arm(True, lesion=0.0, ggo=0.0),
    }
    told = figures.forgetting(done)
    assert told["all_children"] == pytest.approx(0.3)
    assert told["promoted_children"] == pytest.approx(0.05)
    assert told["promoted"] == "1 of 2"
    done["queue 10"]["gate"]["promoted"] = False
    assert figures.forgetting(done)["promoted_children"] is None


@pytest.fixture
def arms():
    """A study of one scan, as its outcome keeps it."""

    def of(after, promoted, fall=0.0):
        def arm(dice, **more):
            return {"dice": {"lesion": dice}, "voxels_to_change": 100, "others": {"ggo": 0.5}, **more}

        gate = {"promoted": promoted}
        child = arm(after, gate=gate) | {"others": {"ggo": 0.5 - fall}}
        return {"before": arm(0.4), "queue 5": child, "naive": arm(0.3, gate=gate), "random": arm(0.5, gate=gate)}

    return of


@pytest.mark.parametrize(("promoted", "dice"), [(True, 0.7), (False, 0.4)])
def test_who_follows_the_gate_has_the_child_if_it_is_promoted_and_else_the_parent(figures, arms, promoted, dice):
    assert figures.figures(arms(0.7, promoted))["dice_after_5_as_the_gate_has_it"] == dice


def test_the_page_tells_what_the_gate_lets_through_and_which_good_children_it_holds_back(effort, arms):
    children = {"a": (0.6, True), "b": (0.49, False), "c": (0.47, False), "d": (0.7, False, 0.02)}
    children["e"] = (0.52, False, 0.005)
    found = {name: effort._told({"arms": arms(*one), "parent": {"steps": 9}}) for name, one in children.items()}
    told = effort.page({"masc_net": found})
    assert "| MASC-Net | 5 | 0.400 | 0.556 | 0.440 |" in told
    assert "| 1 of 5 |" in told
    assert "before 0.400, after 5 0.556, as the gate has it 0.440. It held back 4 of the 5 children" in told
    assert "2 of them though" in told
    assert "forgot 0.01 at most (MASC-Net e +0.120, MASC-Net b +0.090)" in told
    assert (
        "Of the 1 that it let through some class of other patients' scans fell by more than 0.01 with 0 (none)" in told
    )
    forgetful = effort._told({"arms": arms(0.6, True, 0.02), "parent": {"steps": 9}})
    assert "fell by more than 0.01 with 1 (MASC-Net f -0.020)" in effort.page({"masc_net": found | {"f": forgetful}})
    assert "at most (none)." in effort.page({"masc_net": {"a": found["a"]}})


def test_what_was_begun_with_another_parent_or_settings_is_refused_before_any_is_trained(
    effort, untrained, monkeypatch, tmp_path
):
    """What is finished needs no parent, unless one is given."""
    case = Case("new", tmp_path, tmp_path, None, frozenset(), "p1")
    network, trained_on = untrained.card.network, "1 patient or set: p2"

    def stored(name):
        card = untrained.card.model_copy(update={"trained_on": trained_on, "terms": name})
        return effort.checkpoint.save(effort.checkpoint.revived(untrained), card, tmp_path / f"{name}.safetensors")

    begun, other = stored("begun"), stored("other")
    told = {"network": network, "case": "new", "settings": effort._stamp(network, case, (), (), 80)}
    told["parent"] = {"sha256": begun.sha256, "trained_on": trained_on}
    fixed = {"outcomes": tmp_path, "parents": tmp_path / "none", "parent_steps": 1, "device": "cpu", "threads": 1}
    studied = []
    monkeypatch.setattr(effort, "held_out", lambda cases, fold: {"p1"} if fold == 1 else set())
    monkeypatch.setattr(effort, "train_fold", lambda *_: pytest.fail("a parent was trained for nothing"))
    monkeypatch.setattr(effort, "_study", lambda study, *_: studied.append(study.parent.sha256))
    monkeypatch.setattr(effort, "_told", lambda told: told)

    def study(*parents, arms, steps=80, minutes=1):
        (tmp_path / f"{network}_new.json").write_text(json.dumps({**told, "arms": {name: {} for name in arms}}))
        words = Namespace(**fixed, parent=[one.path for one in parents], steps=steps, counts=[], fold_minutes=None)
        words.folder = tmp_path
        return effort._studied(network, case, (case,), words, time.monotonic() + 60 * minutes)

    whole, part = effort.NEEDED, effort.NEEDED[:1]
    assert study(arms=whole)
    assert study(begun, arms=whole)
    study(arms=part, minutes=0)
    study(other, begun, arms=part)
    assert studied == [begun.sha256]
    for refused in ({"arms": whole, "steps": 81}, {"arms": part}):
        with pytest.raises(SystemExit, match="begun with another parent or other settings"):
            study(**refused)
    for arms in (whole, part):
        with pytest.raises(SystemExit, match="begun with another parent or other settings"):
            study(other, arms=arms)


@pytest.fixture
def patients(tmp_path, write_case):
    """Three patients, each with a lesion of his own place through most of the scan."""
    rng = np.random.default_rng(5)
    folder = tmp_path / "cases"
    for number in range(3):
        labels, lung = (np.zeros((14, 40, 40), np.uint8) for _ in range(2))
        lung[:, 6:34, 6:34] = 1
        labels[2:12, 10 + 5 * number : 18 + 5 * number, 12:20] = 1
        labels[2:12, 10 + 5 * number : 18 + 5 * number, 24:28] = 2
        hu = np.where(lung, -850, 40) + np.where(labels == 1, 400, 0) + np.where(labels == 2, 850, 0)
        hu += rng.integers(-20, 20, labels.shape)
        known = ["ggo", "consolidation", "lung"]
        write_case(folder, f"scan{number}", hu, labels, lung, patient=f"p{number}", annotated=known)
    return folder


@pytest.mark.slow
def test_a_new_patient_is_studied_from_nothing_and_what_is_finished_is_kept(figures, patients, tmp_path):
    words = ("--patients", "p1", "--networks", "res_att_unet", "--counts", "2", "--steps", "2", "--parent-steps", "2")
    places = ("--cases", patients, "--parents", tmp_path / "parents", "--folder", tmp_path / "studied")
    places += ("--outcomes", tmp_path / "outcomes", "--page", tmp_path / "page.md")
    command = [sys.executable, BENCHMARKS / "bench_human_effort.py", "--json", *words, *places]
    first, again = (subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(2))
    found = json.loads(first.stdout)
    for key in figures.KEYS:
        assert math.isfinite(found[key]), key
    arms = found["details"]["cases"]["res_att_unet"]["scan1"]["arms"]
    assert {name: len(arm["queue"]) for name, arm in arms.items() if name != "before"} == {
        "queue 5": 5,
        "naive": 5,
        "random": 5,
        "queue 2": 2,
    }
    assert "queue" in first.stderr
    assert "queue" not in again.stderr
    assert json.loads(again.stdout)["networks"] == found["networks"]
    (row,) = [
        line for line in (tmp_path / "page.md").read_text("utf-8").splitlines() if line.startswith("| scan1 | 2 |")
    ]
    assert f"{found['dice_after_5']:.3f}" in row

    for parent in (tmp_path / "parents").glob("*.safetensors"):
        parent.unlink()  # a machine that goes takes the parents along, not what was found with them
    subprocess.run([*command, "--minutes", "0"], check=True, capture_output=True)
    (outcome,) = (tmp_path / "outcomes").glob("res_att*.json")
    for other in (("--steps", "3"), ("--counts", "3")):  # other settings of what is there; a new parent for what is not
        refused = subprocess.run([*command, *other], check=False, capture_output=True, text=True)
        assert refused.returncode == 1
        assert f"{outcome.name} was begun with another parent" in refused.stderr
    told = json.loads(outcome.read_text())
    unknown = {**told["parent"], "trained_on": ""}
    for key, value in (("case", "scan0"), ("settings", "0"), ("parent", unknown)):
        outcome.write_text(json.dumps({**told, key: value}))
        refused = subprocess.run(command, check=False, capture_output=True, text=True)
        assert "was begun with another parent or other settings" in refused.stderr


def test_the_committed_page_tells_every_finished_study_and_no_other(effort):
    found = {}
    for file in sorted(effort.OUTCOMES.glob("*.json")):
        told = json.loads(file.read_text("utf-8"))
        if all(name in told["arms"] for name in effort.NEEDED):
            found.setdefault(told["network"], {})[told["case"]] = effort._told(told)
    assert sorted(effort.page(found).splitlines()) == sorted(effort.PAGE.read_text("utf-8").splitlines())
