"""Cross-validation of the networks: every fold is trained, measured and told, and nothing is that was not measured."""

import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import numpy as np
import pytest

from napari_covseg.networks import Card, available, checkpoint, registry

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(registry, "_guests", {})
    return importlib.import_module


@pytest.fixture
def cross_validated(module, monkeypatch, cases, tmp_path, capsys):
    """Return a function that runs the script on three patients; it returns what was printed, and the page."""

    def run(*words):
        page = tmp_path / "results.md"
        folders = ("--folder", tmp_path / "kept", "--outcomes", tmp_path / "outcomes")
        fixed = ("--cases", cases, *folders, "--page", page, "--steps", 1, "--threads", 1)
        monkeypatch.setattr(sys, "argv", ["crossval.py", *map(str, (*fixed, "--json", "--device", "cpu", *words))])
        assert module("crossval").main() == 0
        return json.loads(capsys.readouterr().out), page.read_text("utf-8")

    return run


def test_the_plain_u_net_is_as_large_as_it_says(module):
    plain = module("baseline")
    assert sum(p.numel() for p in plain.build(plain.SPEC.scheme, "compact").parameters()) == 2_061_653
    assert "2.1 M parameters" in plain.PlainUNet.__doc__


def rows(page, heading):
    """Return the rows under a heading by their first cell."""
    under = page.split(heading)[1].split("\n#")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in under.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_memory_of_a_network_is_not_that_of_whoever_asks_for_it(module, cases, monkeypatch, tmp_path):
    from napari_covseg.io.cases import find_cases

    weights = tmp_path / "weights.safetensors"
    plain = module("baseline")
    registry.invite(plain.SPEC)
    card = Card(network="plain_unet", width="compact", scheme=plain.SPEC.scheme, trained_on="nothing: a test")
    checkpoint.save(plain.build(plain.SPEC.scheme, "compact"), card, weights)
    held = np.ones(2**27)  # 1074 MB
    found = module("peak").measured_peak([weights], find_cases([cases])[0], "cpu", 1)
    assert 100 < found["peak_mb"] < held.nbytes / 1e6


def test_every_fold_is_trained_without_its_patients_measured_on_them_and_told(module, cross_validated, tmp_path):
    printed, page = cross_validated("--networks", "plain_unet")
    files = [tmp_path / "outcomes" / f"plain_unet_fold{fold}.json" for fold in (1, 2, 3)]
    assert not any(str(tmp_path) in file.read_text() for file in files)
    outcomes = [module("fold_outcome").kept(file) for file in files]
    for outcome in outcomes:
        scored = {one.patient for one in outcome.evaluation.cases}
        taught = outcome.evaluation.checkpoint.card.patients
        assert sorted([*scored, *taught]) == ["c1", "e1", "m1"]
        assert outcome.file_mb > 1
    lesion = f"{printed['plain_unet']['pooled']['lesion']['dice']:.3f}"
    assert rows(page, "(pooled)")["plain U-Net (baseline)"][0].startswith(lesion)
    peak = module("by_network").kept(tmp_path / "outcomes" / "peaks.json")["plain_unet"]
    assert rows(page, "## What it costs") == {"plain U-Net (baseline)": [ANY, ANY, f"{peak['peak_mb']:.0f}", "cpu"]}
    assert f"segments {peak['case']} and nothing else" in page

    with pytest.raises(SystemExit, match="learned 1 steps, not 2; keep the two in folders of their own"):
        cross_validated("--networks", "plain_unet", "--steps", 2)

    assert "consolidation" not in module("results_page").joined(outcomes).names  # none of them is lesion_1 or lesion_2
    named = [
        replace(one.evaluation, cases=tuple(replace(case, case="lesion_2") for case in one.evaluation.cases))
        for one in outcomes
    ]
    as_volumes = [replace(one, evaluation=evaluation) for one, evaluation in zip(outcomes, named, strict=True)]
    assert "consolidation" in module("results_page").joined(as_volumes).names

    found = {"plain_unet": outcomes, "res_att_unet": outcomes, "all": outcomes}
    told = module("results_page").page(found, "plain_unet", {}, 77)
    assert "3 folds: 1 steps a stage" in told  # as they were trained, whatever is asked for now
    scores = module("results_page").joined(outcomes).pooled()["lesion"]
    in_their_terms = rows(told, "## In the papers' terms")["Residual Attention U-Net"]
    of_slices = module("results_page").joined(outcomes).slice_mean()["lesion"]
    printed_by_papers = ("dice", "jaccard", "sensitivity", "specificity", "precision", "accuracy", "mae")
    assert in_their_terms == [f"{of_slices[name]:.3f}" for name in printed_by_papers]
    assert f"| Residual Attention U-Net | {' | '.join(f'{scores[name]:.3f}' for name in printed_by_papers)} |" in told
    goals = rows(told, "## Goals")
    assert goals["lesion, every network: 0.65"][0] == "**missed**"
    assert goals["lesion, every network above the plain U-Net (baseline)"] == ["**missed**", "0 of 1 surely above it"]
    bearing = "that contain it; patients"
    assert rows(told, "## Scans")[bearing] == ["1; 1", "1; 1", "–", "1; 1", "–"]
    assert rows(told, "## Lone slices")[bearing][1:] == ["–", "–", "1; 1", "–"]
    titles = ["Residual Attention U-Net", "all five together"]
    against = rows(told, "## Against the plain U-Net")
    assert list(against) == titles
    assert {cells[0].split(";")[0].split(" ")[0] for cells in against.values()} == {"+0.000"}
    assert list(rows(told, "## All five together, against the best of them")) == titles[1:]


def test_a_fold_that_was_measured_is_not_trained_again_where_its_weights_are_gone(cross_validated, tmp_path):
    printed, page = cross_validated("--networks", "plain_unet")
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "outcomes" / "plain_unet_fold2.json").unlink()
    again, told = cross_validated("--networks", "plain_unet")
    assert [path.name for path in (tmp_path / "kept").glob("*.safetensors")] == ["plain_unet_fold2.safetensors"]
    assert again == printed
    assert rows(told, "(pooled)") == rows(page, "(pooled)")
    outcome = tmp_path / "outcomes" / "plain_unet_fold2.json"
    of_fold_1 = outcome.with_name("plain_unet_fold1.json").read_bytes()
    for other, refusal in ((b"{", "is damaged"), (of_fold_1, "on other cases")):
        outcome.write_bytes(other)
        with pytest.raises(SystemExit, match=refusal):
            cross_validated("--networks", "plain_unet", "--total-minutes", "0")
    outcome.unlink()
    for fold in (1, 3):
        (tmp_path / "outcomes" / f"plain_unet_fold{fold}.json").unlink()
    (tmp_path / "kept" / "plain_unet_fold2.safetensors").rename(tmp_path / "kept" / "plain_unet_fold3.safetensors")
    with pytest.raises(SystemExit, match="learned from patients of its own fold"):
        cross_validated("--networks", "plain_unet", "--total-minutes", "0")


def test_weights_that_do_not_name_all_who_taught_them_stand_for_no_fold(module):
    told = "1 reviewed slice of 1 session; before that, 1 patient or set: c1"
    card = Card(network="chs_net", width="compact", scheme=("ggo",), trained_on=told, config={"steps": 1})
    parent, plan = SimpleNamespace(path=Path("child"), card=card), SimpleNamespace(steps_of=lambda _: 1)
    with pytest.raises(SystemExit, match="does not name all who taught it"):
        module("crossval")._refuse_others(parent, plan, "chs_net", 1)


def test_what_was_not_measured_is_said_and_has_no_row(cross_validated, tmp_path):
    printed, page = cross_validated("--networks", "plain_unet", "--total-minutes", "0")
    assert printed == {}
    assert "Not yet measured: CHS-Net, COVID-SegNet, MASC-Net" in page
    assert "Two-stream SegNet, all five together." in page
    assert rows(page, "## Scans") == {}
    assert "## Goals" not in page
    assert "## Against the plain U-Net" not in page
    assert not list((tmp_path / "kept").iterdir())
    assert not (tmp_path / "outcomes").exists()


def test_every_network_learns_as_many_steps_as_fit_into_the_same_minutes(module, cross_validated, tmp_path):
    _, page = cross_validated("--networks", "plain_unet", "--fold-minutes", 0.01)
    pace = json.loads((tmp_path / "outcomes" / "pace.json").read_text())["plain_unet"]
    assert pace["steps"] == max(1, int(0.6 / pace["seconds_per_step"]))
    assert "as fit into 0.01 minutes a fold" in page
    assert rows(page, "(pooled)")["plain U-Net (baseline)"][-1] == str(max(1, pace["steps"]))
    with pytest.raises(SystemExit, match=r"holds 0\.01 minutes, not 0\.02; name another --outcomes"):
        cross_validated("--networks", "plain_unet", "--fold-minutes", 0.02)


def test_a_lung_stage_counts_by_its_share(module, cases, tmp_path):
    from napari_covseg.io.cases import find_cases

    pace = module("pace")
    kept = tmp_path / "pace.json"
    kept.write_text(json.dumps({"chs_net": {"minutes": 3.0, "seconds_per_step": 2.0, "steps": 90}}))
    assert pace.steps_that_fit("chs_net", find_cases([cases]), 3.0, "cpu", kept) == 90
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(kept.read_bytes()[:-3])
    with pytest.raises(SystemExit, match=r"damaged\.json is damaged; put it back"):
        pace.steps_that_fit("chs_net", (), 3.0, "cpu", damaged)
    spec = pace.load("chs_net")
    assert [pace._share(spec, index) for index in (0, 1)] == [0.5, 1.0]


def test_what_no_confusion_matrix_gives_is_found_by_arithmetic(module):
    papers = module("papers")
    whole = papers.Figures("one", "data", "task", dice="0.750", jaccard="0.600", sensitivity="0.750", precision="0.750")
    assert whole.odd == ()
    odd = {(one.paper, one.task): one.odd for one in papers.PRINTED}
    assert odd["COVID-SegNet", "lung"] == ()
    assert odd["COVID-SegNet", "infection"] == ("P and S give 0.738",)
    assert odd["CHS-Net", "lung"] == ("Jaccard > Dice",)
    assert odd["Residual Attention U-Net", "three classes"] == ("accuracy < Dice",)


def test_the_committed_page_is_what_the_committed_outcomes_say(module):
    script, plain = module("crossval"), module("baseline").SPEC
    registry.invite(plain)
    outcome = module("fold_outcome").kept
    found = {
        key: [outcome(script.OUTCOMES / f"{key}_fold{fold}.json") for fold in (1, 2, 3)]
        for key in (plain.key, *available(), "all")
    }
    peaks = module("by_network").kept(script.OUTCOMES / "peaks.json")
    assert found.keys() == peaks.keys()
    assert module("results_page").page(found, plain.key, peaks, 1000, 10) == script.RESULTS.read_text("utf-8")
