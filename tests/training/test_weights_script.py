"""What `make weights` publishes: weights in the package, and a card that tells what they are worth and nothing else."""

import importlib
import json
from pathlib import Path

import pytest

from napari_covseg.networks import checkpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMAND = "covseg train --network res_att_unet --out res_att_unet_compact.safetensors"
WORTH = {"res_att_unet": {"pooled": {"lesion": {"dice": 0.71}, "effusion": {"dice": 0.31}, "lung": {"dice": None}}}}


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script, which publishes into a temporary folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("weights")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(module, "CARDS", tmp_path / "cards")
    (tmp_path / "shipped").mkdir()
    (tmp_path / "cards").mkdir()
    return module


@pytest.fixture
def made(untrained, tmp_path):
    """Random weights, as a training leaves them."""

    def with_metrics(metrics):
        card = untrained.card.model_copy(update={"metrics": metrics})
        return checkpoint.save(checkpoint.revived(untrained), card, tmp_path / "res_att_unet_compact.safetensors").path

    return with_metrics


def test_weights_that_everybody_taught_tell_what_cross_validation_found(script, made, tmp_path):
    printed = tmp_path / "crossval.json"
    printed.write_text(json.dumps(WORTH))
    script.publish(made({}), COMMAND, script._cross_validated(printed, "res_att_unet"))
    kept = checkpoint.read(tmp_path / "shipped" / "res_att_unet_compact.safetensors")
    assert kept.card.measured_dice == {"dice_lesion": 0.71, "dice_effusion": 0.31}
    assert kept.card.command == COMMAND
    assert kept.card.known_failures[0] == "More wrong than right on patients it never saw, by Dice: effusion (0.31)."
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Measured in cross-validation" in page
    assert "never of these very weights" in page
    assert kept.sha256 in page


def test_weights_with_held_out_patients_tell_what_these_found(script, made, tmp_path):
    metrics = {"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.66}}
    script.publish(made(metrics), COMMAND, {"dice_lesion": 0.71})
    kept = checkpoint.read(tmp_path / "shipped" / "res_att_unet_compact.safetensors")
    assert kept.card.measured_dice == {"dice_lesion": 0.66}
    assert "cross_validated_pooled" not in kept.card.metrics
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Measured on the held-out patients" in page


def test_weights_that_everybody_taught_tell_what_their_sibling_reached_and_hand_it_on(script, made, tmp_path):
    script.publish(made({"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.66}}), COMMAND, {})
    shipped = tmp_path / "shipped" / "res_att_unet_compact.safetensors"
    sibling = checkpoint.read(shipped).sha256
    for _ in range(2):
        script.publish(made({}), "another command", {"dice_lesion": 0.4})
        kept = checkpoint.read(shipped).card
        assert kept.measured_dice == {"dice_lesion": 0.66}
        assert (kept.metrics["sibling"]["sha256"], kept.metrics["sibling"]["command"]) == (sibling, COMMAND)
    page = (tmp_path / "cards" / "res_att_unet_compact.md").read_text("utf-8")
    assert "## Measured on a sibling" in page
    assert "recipe, m1 held out" in page
    assert COMMAND in page


def test_weights_that_go_on_record_their_parents_commands_too(script, made):
    script.publish(made({"held_out": ["m1"], "held_out_pooled": {"dice_lesion": 0.66}}), COMMAND, {})
    cases = [Path("somewhere/volumes")]
    for number in (2, 3):
        parent = script._shipped("res_att_unet")
        commands = script.recorded_command("res_att_unet", cases, 7, [], parent).splitlines()
        assert commands[:-1] == parent.card.command.splitlines()
        made_from, made_as = commands[-2].split()[-1], commands[-1].split()[-1]
        assert made_as == f"res_att_unet_compact_{number}.safetensors"
        assert f"--cases volumes --steps 7 --seed 0 --from {made_from} --learning-rate 0.001" in commands[-1]
        script.publish(made({}), "\n".join(commands), {})
        assert script._shipped("res_att_unet").card.measured_dice == {"dice_lesion": 0.66}


def test_nothing_goes_on_from_weights_that_are_not_there(script):
    with pytest.raises(SystemExit, match="Nothing ships of masc_net that could be gone on with"):
        script._shipped("masc_net")


def test_weights_too_large_to_ship_stay_where_they_are(script, made, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "LARGEST_FILE_MB", 0.5)
    with pytest.raises(ValueError, match=r"a file may have 0\.5, all 25"):
        script.publish(made({}), COMMAND, {})
    assert not list((tmp_path / "shipped").iterdir())
