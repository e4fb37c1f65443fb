"""Checkpoints: what goes in comes out, and what is not one is refused."""

import json

import pytest
import torch
from safetensors import safe_open

from napari_covseg.networks import Card, checkpoint, load
from napari_covseg.networks.learned import Learned

SCHEME = ("ggo", "consolidation", "effusion")


@pytest.fixture
def module():
    torch.manual_seed(3)
    module = load("res_att_unet").build(SCHEME, "compact")
    for buffer_name, buffer in module.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.fill_(123.456)  # fp16 could not hold this
    return module


@pytest.fixture
def card():
    return Card(network="res_att_unet", width="compact", scheme=SCHEME, trained_on="nothing: a test")


def test_large_kernels_come_back_as_fp16_and_all_else_as_it_was(module, card, tmp_path):
    saved = checkpoint.save(module, card, tmp_path / "a.safetensors")
    revived = checkpoint.revived(saved)
    assert saved.card == card
    assert not revived.training
    whole = tuple(f"lesion.{part}." for part in load("res_att_unet").in_full_precision)
    for name, tensor in module.state_dict().items():
        again = revived.state_dict()[name]
        exact = tensor.ndim <= 1 or tensor.numel() <= 2048 or name.startswith(whole)
        assert torch.equal(again, tensor if exact else tensor.half().float()), name


@pytest.mark.parametrize("by", ["fp16 throughout but for statistics", "fp32 throughout"])
def test_files_that_earlier_versions_wrote_are_read(by, module, card, tmp_path):
    """A file's tensors may have any precision; the card tells nothing about it."""
    from safetensors.torch import save_file

    def stored(name, tensor):
        halved = by.startswith("fp16") and tensor.is_floating_point() and "running" not in name
        return tensor.half() if halved else tensor.clone()

    path = tmp_path / "old.safetensors"
    tensors = {name: stored(name, tensor) for name, tensor in module.state_dict().items()}
    save_file(tensors, path, metadata={"covseg": card.model_dump_json()})
    revived = checkpoint.revived(checkpoint.read(path)).state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in revived.values() if tensor.is_floating_point())
    assert all(torch.equal(revived[name], tensor.to(revived[name])) for name, tensor in tensors.items())


def test_what_a_card_does_not_say_takes_no_space(module, card, tmp_path):
    said = card.model_copy(update={"learned": {"a": Learned.of([1], (), ("b",))}})
    saved = checkpoint.save(module, said, tmp_path / "a.safetensors")
    with safe_open(saved.path, framework="numpy") as file:
        told = json.loads(file.metadata()["covseg"])
    assert told["learned"] == {"a": {"slices_sha256": ["b"], "taught": [2]}}
    assert "command" not in told
    assert checkpoint.read(saved.path).card == said


def test_what_normalisations_have_counted_and_nothing_reads_is_not_kept(module, card, tmp_path):
    counters = [name for name in module.state_dict() if name.endswith("num_batches_tracked")]
    module.state_dict()[counters[0]].fill_(7)
    saved = checkpoint.save(module, card, tmp_path / "a.safetensors")
    with safe_open(saved.path, framework="pt") as file:
        assert {*module.state_dict()} - {*file.keys()} == {*counters}
    assert not checkpoint.revived(saved).state_dict()[counters[0]]


def test_the_file_is_about_half_the_size_of_fp32(module, card, tmp_path):
    saved = checkpoint.save(module, card, tmp_path / "a.safetensors")
    assert saved.path.stat().st_size < 5_000_000


def test_who_may_read_other_files_may_read_a_checkpoint(module, card, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert checkpoint.save(module, card, tmp_path / "a.safetensors").path.stat().st_mode == other.stat().st_mode


def test_a_scheme_that_does_not_fit_the_tensors_is_refused(module, card, tmp_path):
    other = card.model_copy(update={"scheme": ("ggo", "consolidation")})
    with pytest.raises(ValueError, match="does not fit"):
        checkpoint.save(module, other, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_card_names_another_number_of_classes_is_refused(module, card, tmp_path):
    """Nothing is relabelled silently (common.md §2, rule 5)."""
    from safetensors.torch import load_file, save_file

    saved = checkpoint.save(module, card, tmp_path / "a.safetensors")
    header = card.model_copy(update={"scheme": ("infection",)}).model_dump_json()
    save_file(load_file(saved.path), tmp_path / "b.safetensors", metadata={"covseg": header})
    with pytest.raises(ValueError, match="does not fit"):
        checkpoint.revived(checkpoint.read(tmp_path / "b.safetensors"))


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 4096])
def test_a_file_of_something_else_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.safetensors is not a checkpoint"):
        checkpoint.read(path)


def test_own_checkpoints_are_listed_newest_first_and_found_by_name(module, card, tmp_path):
    import os

    folder = tmp_path / "home" / checkpoint.OWN_FOLDER
    for age, name in enumerate(("new", "old")):
        kept = checkpoint.save(module, card, folder / f"{name}.safetensors")
        os.utime(kept.path, ns=(10**18 - age * 10**12,) * 2)
    (folder / "broken.safetensors").write_bytes(b"broken")
    names = [c.name for c in checkpoint.known("res_att_unet", tmp_path / "home") if not c.is_shipped]
    assert names == ["new", "old"]
    assert checkpoint.find("res_att_unet", "old", tmp_path / "home").name == "old"


def test_a_name_that_another_networks_checkpoint_has_is_said_to_be_of_that(module, card, tmp_path):
    checkpoint.save(module, card, tmp_path / checkpoint.OWN_FOLDER / "theirs.safetensors")
    for name, held in (("theirs", "res_att_unet"), ("covid_segnet_compact", "covid_segnet")):
        with pytest.raises(ValueError, match=rf"{name}\.safetensors holds {held}, not masc_net"):
            checkpoint.find("masc_net", name, tmp_path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        checkpoint.find("res_att_unet", tmp_path / "nowhere.safetensors")


def test_a_shipped_checkpoint_cannot_be_overwritten(module, card, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    kept = checkpoint.save(module, card, tmp_path / "base.safetensors")
    with pytest.raises(ValueError, match="not overwritten"):
        checkpoint.save(module, card, tmp_path / "base.safetensors")
    assert checkpoint.read(kept.path).sha256 == kept.sha256


def test_weights_that_are_no_numbers_and_weights_that_are_gone_are_told_as_that(module, card, tmp_path):
    saved = checkpoint.save(module, card, tmp_path / "a.safetensors")
    whole = saved.path.read_bytes()
    saved.path.write_bytes(whole[:-4000] + b"\xff" * 4000)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: some of its weights are no numbers"):
        checkpoint.revived(saved)
    saved.path.unlink()
    with pytest.raises(ValueError, match="weights a are gone"):
        checkpoint.revived(saved)


def test_beside_the_readers_own_no_file_takes_a_shipped_ones_name(tmp_path):
    own = tmp_path / checkpoint.OWN_FOLDER
    with pytest.raises(ValueError, match="masc_net_compact is the name of weights that came with the package"):
        checkpoint.check_free(own / "masc_net_compact.safetensors")
    checkpoint.check_free(own / "mine.safetensors")
    with pytest.raises(ValueError, match="without line breaks"):
        checkpoint.check_free(tmp_path / "con\nnl.safetensors")
    checkpoint.check_free(tmp_path / "masc_net_compact.safetensors")


FOREIGN_METRICS = (
    {"gate": "passed"},
    {"gate": {"promoted": "no"}},
    {"gate": {"promoted": True, "held_out": [{"dice": 0.5}]}},
    {"sibling": None},
    {"held_out_pooled": [0.5]},
    {"held_out_pooled": {"dice_lesion": "good"}},
    {"on_the_learned_slices": {"after": 0.5}},
)


@pytest.mark.parametrize("metrics", FOREIGN_METRICS)
def test_a_card_with_figures_of_another_form_is_left_out_and_does_not_stop_the_list(metrics, module, card, tmp_path):
    from safetensors.torch import save_file

    foreign = tmp_path / checkpoint.OWN_FOLDER / "foreign.safetensors"
    foreign.parent.mkdir()
    told = {**card.model_dump(mode="json"), "metrics": metrics}
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    save_file(tensors, foreign, metadata={"covseg": json.dumps(told)})
    assert foreign not in [one.path for one in checkpoint.known("res_att_unet", tmp_path)]
    assert checkpoint.left_out(tmp_path) == (
        "foreign.safetensors is not a checkpoint of this program, or it is damaged.",
    )


def test_a_card_of_a_newer_version_is_called_that(module, card, tmp_path):
    from safetensors.torch import save_file

    newer = tmp_path / "newer.safetensors"
    told = {**card.model_dump(mode="json"), "scanner": "what this version does not know"}
    save_file(
        {name: tensor.clone() for name, tensor in module.state_dict().items()}, newer, {"covseg": json.dumps(told)}
    )
    with pytest.raises(ValueError, match=r"newer\.safetensors was made by a newer version of this program; update"):
        checkpoint.read(newer)


def test_a_card_must_tell_a_time_that_is_one(card):
    with pytest.raises(ValueError, match="Invalid isoformat"):
        Card(**{**card.model_dump(), "created_utc": "tomorrow"})


def test_a_class_without_a_figure_does_not_count_as_measured(card):
    told = card.model_copy(update={"metrics": {"held_out_pooled": {"dice_lesion": None, "dice_ggo": 0.5}}})
    assert told.measured_dice == {"dice_ggo": 0.5}


def test_a_file_that_was_cut_since_it_was_read_is_told_in_words(module, card, tmp_path):
    saved = checkpoint.save(module, card, tmp_path / "saved.safetensors")
    saved.path.write_bytes(saved.path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"is damaged; copy it here again, or choose other weights\.$"):
        checkpoint.revived(saved)


def test_a_damaged_file_among_ones_own_is_left_out_and_that_is_logged_once(tmp_path, caplog):
    damaged = tmp_path / checkpoint.OWN_FOLDER / "bad.safetensors"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no weights")
    for _ in range(3):
        assert damaged not in [one.path for one in checkpoint.known("res_att_unet", tmp_path)]
    assert [record.getMessage() for record in caplog.records] == [
        "bad.safetensors is not a checkpoint of this program, or it is damaged. It is left out of the list."
    ]
    assert checkpoint.left_out(tmp_path) == ("bad.safetensors is not a checkpoint of this program, or it is damaged.",)


def flipped(source, target):
    """A copy of weights with one bit changed, which leaves all of them numbers."""
    content = bytearray(source.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start + (len(content) - start) // 2] ^= 1
    target.write_bytes(content)
    return target


def test_weights_with_one_changed_bit_are_refused(module, card, tmp_path):
    saved = checkpoint.save(module, card, tmp_path / "saved.safetensors")
    damaged = checkpoint.read(flipped(saved.path, tmp_path / "damaged.safetensors"))
    with pytest.raises(ValueError, match=r"damaged\.safetensors is damaged: its weights are not those that were saved"):
        checkpoint.revived(damaged)
    checkpoint.revived(saved)


def test_a_dead_link_among_checkpoints_is_left_out_and_the_others_are_listed(untrained):
    (untrained.path.parent / "gone.safetensors").symlink_to(untrained.path.parent / "on a disk that is not there")
    assert untrained in checkpoint.known(untrained.card.network)
    (why,) = checkpoint.left_out()
    assert "gone.safetensors" in why
