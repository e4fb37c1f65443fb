"""What `make weights` publishes: weights in the package, and a card that tells what they are worth and nothing else."""

import importlib
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from napari_covseg.networks import available, checkpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMAND = "covseg train --network res_att_unet --out res_att_unet_compact.safetensors"
ONE, TWO = (COMMAND,), (COMMAND, COMMAND.replace("compact.", "compact_2."))
FOLDS = {
    "pooled": {"dice_lesion": 0.71, "dice_effusion": 0.31},
    "lesion_by_patient": {"m1": 0.9, "m2": None},
    "patients": 2,
    "steps": 800,
}


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script, which publishes into a temporary folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("weights")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(module, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(module, "WORKING", tmp_path / "working")
    (tmp_path / "shipped").mkdir()
    (tmp_path / "cards").mkdir()
    (tmp_path / "working").mkdir()
    return module


@pytest.fixture
def made(untrained, tmp_path):
    """Random weights, as a training leaves them."""

    def with_metrics(metrics, name="res_att_unet_compact", **other):
        card = untrained.card.model_copy(update={"metrics": metrics, **other})
        return checkpoint.save(checkpoint.revived(untrained), card, tmp_path / "working" / f"{name}.safetensors").path

    return with_metrics


def test_weights_that_everybody_taught_tell_what_cross_validation_found(script, made, tmp_path):
    script.publish(made({}), ONE, FOLDS)
    kept = checkpoint.read(tmp_path / "shipped" / "res_att_unet_compact.safetensors")
    assert kept.card.measured_dice == {"dice_lesion": 0.71, "dice_effusion": 0.31}
    assert kept.card.command == COMMAND
    assert kept.card.known_failures[0] == (
        "More wrong than right in cross-validation, after 800 steps a stage, by Dice: effusion (0.31)."
    )
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Cross-validated" in page
    assert "never of these very weights" in page
    assert "| m1 | m2 |" in page
    assert "| 0.90 | – |" in page
    assert kept.sha256 in page


def test_weights_with_held_out_patients_tell_what_these_found_and_the_folds_beside(script, made, tmp_path):
    metrics = {"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.46}}
    script.publish(made(metrics), ONE, FOLDS)
    kept = checkpoint.read(tmp_path / "shipped" / "res_att_unet_compact.safetensors")
    assert kept.card.measured_dice == {"dice_lesion": 0.46}
    assert kept.card.known_failures[:2] == (
        "More wrong than right on m1, whom it never saw, by Dice: lesion (0.46).",
        "More wrong than right in cross-validation, after 800 steps a stage, by Dice: effusion (0.31).",
    )
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Measured on m1" in page
    assert "## Cross-validated" in page


def test_what_the_folds_found_is_read_from_what_is_kept_of_all_of_them(script):
    found = script.cross_validated("masc_net")
    assert found["patients"] == len(found["lesion_by_patient"]) == 12
    assert min(found["lesion_by_patient"].values()) < found["pooled"]["dice_lesion"]
    assert script.cross_validated("masc_net", Path("nowhere")) == {}
    cards = importlib.import_module("model_card")
    assert cards.whose_voxels("masc_net", ["c07", "l018", "m1"]).startswith("lesion m1 (93%)")
    assert cards.whose_voxels("masc_net", ["l018"]) == "effusion l018 (100%)"
    assert cards.whose_voxels("masc_net", ["m1"], Path("nowhere")) == ""


def test_weights_that_everybody_taught_hand_on_what_was_held_out_before(script, made, tmp_path):
    script.publish(made({"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.66}}), ONE, {})
    shipped = tmp_path / "shipped" / "res_att_unet_compact.safetensors"
    sibling = checkpoint.read(shipped).sha256
    for _ in range(2):
        script.publish(made({}), ("another command",), FOLDS)
        kept = checkpoint.read(shipped).card
        assert kept.measured_dice == {"dice_lesion": 0.66}
        assert (kept.metrics["sibling"]["sha256"], kept.metrics["sibling"]["command"]) == (sibling, COMMAND)
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Measured on m1" in page
    assert "but of a sibling, which this command made\nby code that nobody recorded, with them held out:" in page
    assert COMMAND in page


def test_weights_of_two_parts_tell_what_the_first_is_worth_and_both_commands(script, made, tmp_path):
    measured = {"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.66}}
    first = made(measured, config={"patience": 8}, command=TWO[0], commit="first")
    parent = checkpoint.read(first).sha256
    second = made({}, "res_att_unet_compact_2", commit="second", parent_sha256=parent)
    script.publish(second, TWO, FOLDS)
    kept = checkpoint.read(tmp_path / "shipped" / "res_att_unet_compact.safetensors").card
    assert kept.measured_dice == {"dice_lesion": 0.66}
    assert (kept.command.splitlines(), kept.commit.splitlines()) == ([*TWO], ["first", "second"])
    assert kept.metrics["sibling"]["sha256"] == checkpoint.read(first).sha256
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert page.startswith("# Residual Attention U-Net, compact: `res_att_unet_compact`")
    assert "but of its first part, which this command made\nat commit `first`, with them held out, who chose" in page
    assert "by commit `first`, `second`, a command each;" in page


@pytest.fixture
def called(script, monkeypatch, tmp_path, capsys):
    """Call the script with cases of some patients, and no training that comes to anything; return how it ended."""
    folder = tmp_path / "theirs"
    folder.mkdir()

    def call(patients, trainings):
        for number, _ in enumerate(patients):
            for part in ("image", "label"):
                (folder / f"{number}_{part}.png").touch()
        told = {str(number): {"patient": patient} for number, patient in enumerate(patients)}
        (folder / "cases.json").write_text(json.dumps(told))
        words = ["weights.py", "--again", "--cases", str(folder), "--networks", "masc_net", "chs_net"]
        monkeypatch.setattr("sys.argv", words)

        def fail(command, *_):
            trainings.append(command)
            raise subprocess.CalledProcessError(1, command)

        monkeypatch.setattr(script, "_run", fail)
        return script.main(), capsys.readouterr().out

    return call


def test_a_network_that_cannot_be_trained_does_not_stop_the_others(called, script):
    trainings = []
    status, said = called(sorted(script.PATIENTS), trainings)
    assert (status, len(trainings)) == (1, 2)
    assert said.endswith("masc_net failed; see above.\nchs_net failed; see above.\n")


@pytest.mark.parametrize("change", [lambda own: own | {"p1"}, lambda own: own - {"m1"}, lambda _: {"p1", "p2"}])
def test_cases_of_other_patients_are_refused_before_anything_is_trained(called, script, change):
    trainings, given = [], change(script.PATIENTS)
    with pytest.raises(SystemExit, match="train on your own with 'covseg train'") as refused:
        called(sorted(given), trainings)
    assert not trainings
    assert ("of other patients (p1" in str(refused.value)) is ("p1" in given)
    assert ("none of " in str(refused.value)) is ("m1" not in given)


def test_the_patients_it_is_made_for_are_those_whom_the_cards_name(script):
    for shipped in script.available():
        (weights,) = (one for one in checkpoint.known(shipped) if one.is_shipped)
        assert weights.card.patients is not None
        assert weights.card.patients <= script.PATIENTS
    assert {patient for part in script.PARTS.values() for one in part for patient in one.hold_out} < script.PATIENTS


def test_the_recorded_commands_start_from_each_other(script):
    for network, parts in script.PARTS.items():
        commands = script.recorded_commands(network, [Path("somewhere/volumes"), Path("slices")])
        assert len(commands) == len(parts)
        assert all(
            f"--cases volumes --cases slices {'--hold-out m1' if p.hold_out else '--steps'}" in c
            for c, p in zip(commands, parts, strict=True)
        )
        for before, after in pairwise(commands):
            assert f"--from {before.split()[-1]} " in after
        assert not any(part.hold_out for part in parts[-1:])  # what ships has learned from everybody


def test_what_ships_of_the_first_part_is_not_trained_again(script, made, monkeypatch):
    commands = script.recorded_commands("res_att_unet", [])
    part = script.PARTS["res_att_unet"][0]
    script.publish(made({}, config={"steps": part.steps, "held_out": [*part.hold_out]}), commands[:1], {})
    assert not list(script.WORKING.iterdir())
    monkeypatch.setattr(script, "_shipped_part", lambda *_: 1)
    assert script._made("res_att_unet", commands, [], 0, "cpu") is None
    assert [path.name for path in script.WORKING.iterdir()] == ["res_att_unet_compact.safetensors"]


def test_a_further_part_goes_on_from_all_that_ships(script, made, monkeypatch):
    commands = script.recorded_commands("two_stream_segnet", [])
    script.publish(made({"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.6}}), commands[:1], {})
    shipped = script.SHIPPED / "res_att_unet_compact.safetensors"
    shipped.rename(shipped.with_name("two_stream_segnet_compact.safetensors"))
    monkeypatch.setattr(script, "_shipped_part", lambda *_: 2)
    assert script._made("two_stream_segnet", commands, [], 0, "cpu") is None
    assert [path.name for path in script.WORKING.iterdir()] == ["two_stream_segnet_compact_2.safetensors"]


def test_what_ships_is_known_whatever_the_order_of_the_folders_and_again_begins_anew(
    script, made, monkeypatch, tmp_path
):
    one, other = (script.recorded_commands("res_att_unet", [Path(a), Path(b)]) for a, b in ("ab", "ba"))
    monkeypatch.setattr(checkpoint, "SHIPPED", script.SHIPPED)
    script.publish(made({}), one, {})
    assert script._shipped_part("res_att_unet", other) == len(one)
    assert script._shipped_part("res_att_unet", script.recorded_commands("res_att_unet", [Path("c")])) == 0
    assert script._made("res_att_unet", other, [], 0, "cpu", again=True) is None
    assert not list(script.WORKING.iterdir())


def test_what_another_command_left_is_not_shipped_as_what_is_recorded(script, made, tmp_path):
    commands = script.recorded_commands("res_att_unet", [])
    parts = script.PARTS["res_att_unet"]
    first = {"steps": parts[0].steps, "held_out": [*parts[0].hold_out]}
    made({}, config={**first, "steps": 1})
    with pytest.raises(SystemExit, match="made by another command than is recorded"):
        script._made("res_att_unet", commands, [], 0, "cpu")
    parent = checkpoint.read(made({}, config=first))
    assert script._made("res_att_unet", commands, [], 0, "cpu") is None
    made({}, "res_att_unet_compact_2", config={"steps": parts[1].steps, "held_out": []})
    with pytest.raises(SystemExit, match="made by another command"):
        script._made("res_att_unet", commands, [], 0, "cpu")
    config = {"steps": parts[1].steps, "held_out": []}
    last = made({}, "res_att_unet_compact_2", config=config, parent_sha256=parent.sha256)
    assert script._made("res_att_unet", commands, [], 0, "cpu") == last


def test_the_table_says_on_whom_a_figure_was_measured_and_of_which_weights(script, made, monkeypatch, tmp_path):
    held_out = {"held_out": ["c07", "m1"], "held_out_pooled": {"dice_lesion": 0.66}}
    told = {
        "on c07, m1, held out": held_out,
        "of a sibling, on c07, m1, held out": {"sibling": held_out},
        "of the same recipe, in cross-validation": {"cross_validated": {"pooled": {"dice_lesion": 0.66}}},
        "": {},
    }
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "working")
    monkeypatch.setattr(script, "available", lambda: ["res_att_unet"])
    for number, metrics in enumerate(told.values()):
        made(metrics, f"w{number}")
    lines = script.table().splitlines()
    assert [line.partition(" MB  ")[2] for line in lines] == [
        *(f"Dice lesion 0.660 ({words})" for words in told if words),
        "not measured",
    ]


def test_weights_too_large_to_ship_stay_where_they_are(script, made, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "LARGEST_FILE_MB", 0.5)
    with pytest.raises(ValueError, match=r"a file may have 0\.5, all 25"):
        script.publish(made({}), ONE, {})
    assert not list((tmp_path / "shipped").iterdir())


@pytest.mark.parametrize("network", available())
def test_the_page_of_what_ships_is_what_its_header_says(script, network):
    (shipped,) = (one for one in checkpoint.known(network) if one.is_shipped)
    page = (BENCHMARKS.parent / "docs" / "models" / f"{shipped.path.stem}.md").read_text("utf-8")
    assert importlib.import_module("model_card").card_page(shipped, shipped.path, page) == page
    assert shipped.card.metrics["cross_validated"] == script.cross_validated(network)
