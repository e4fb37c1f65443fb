"""Lineage: who comes from whom, what may take its parent's place, and what a reader decided."""

import sys
from dataclasses import replace

import pytest
import torch

from napari_covseg.networks import Card, checkpoint, lineage, load
from napari_covseg.networks.checkpoint import OWN_FOLDER, SHIPPED

THREE = ("ggo", "consolidation", "effusion")


@pytest.fixture
def made(tmp_path, no_weights):
    """Save a checkpoint of the reader's own, the later the newer."""
    moment = iter(range(100))

    def make(name, parent=None, **metrics):
        torch.manual_seed(next(moment))
        card = Card(
            network="res_att_unet",
            width="compact",
            scheme=THREE,
            trained_on="nothing",
            parent_sha256=parent.sha256 if parent else "",
            metrics=metrics,
            created_utc=f"2026-11-21T10:00:{next(moment):02d}+00:00",
        )
        module = load("res_att_unet").build(THREE, "compact")
        return checkpoint.save(module, card, tmp_path / OWN_FOLDER / f"{name}.safetensors")

    return make


def test_the_tree_has_parents_before_children_and_knows_who_is_promoted(made, tmp_path):
    base = made("base")
    first = made("first", base, gate={"promoted": True})
    made("grandchild", first, gate={"promoted": False})
    second = made("second", base, gate={"promoted": False})
    made("orphan", replace(base, sha256="f" * 64))
    found = [(one.checkpoint.name, one.depth, one.promoted) for one in lineage.tree("res_att_unet", tmp_path)]
    assert found == [
        ("base", 0, True),
        ("first", 1, True),
        ("grandchild", 2, False),
        ("second", 1, False),
        ("orphan", 0, True),
    ]
    assert lineage.verdict_of(second) == {"promoted": False}


def test_the_tree_tells_who_overruled_a_gate_and_why(made, tmp_path):
    base = made("base")
    held_back, passed = made("held_back", base, gate={"promoted": False}), made("passed", base, gate={"promoted": True})
    lineage.overrule(held_back, "Dr A", "first thoughts", folder=tmp_path)
    for reason, promoted in (("better", True), ("not so", False)):
        for child in (held_back, passed):
            lineage.overrule(child, "Dr B", reason, promoted=promoted, folder=tmp_path)
        tree = lineage.tree("res_att_unet", tmp_path)
        found = {one.checkpoint.name: (one.promoted, one.is_overruled, one.decision) for one in tree}
        assert found["base"] == (True, False, None)
        assert found["held_back"][:2] == (promoted, promoted)
        assert found["passed"][:2] == (promoted, False)
        assert (found["held_back"][2].reader, found["held_back"][2].reason) == ("Dr B", reason)


def test_what_its_gate_held_back_is_never_the_first(made, tmp_path):
    assert lineage.first("res_att_unet", tmp_path) is None
    base = made("base")
    held_back = made("held_back", base, gate={"promoted": False})
    assert checkpoint.known("res_att_unet", tmp_path)[0] == held_back
    assert lineage.first("res_att_unet", tmp_path) == base
    assert checkpoint.find("res_att_unet", folder=tmp_path) == base
    lineage.overrule(held_back, "Dr A", "it is better", folder=tmp_path)
    assert checkpoint.find("res_att_unet", folder=tmp_path) == held_back


def test_a_child_alone_that_its_gate_held_back_is_no_choice(made, tmp_path):
    made("child", gate={"promoted": False})
    with pytest.raises(ValueError, match="No trained weights"):
        checkpoint.find("res_att_unet", folder=tmp_path)


def test_a_gate_is_overruled_with_a_reason_that_is_kept_and_can_be_taken_back(made, tmp_path):
    child = made("child", made("base"), gate={"promoted": False})
    with pytest.raises(ValueError, match="why"):
        lineage.overrule(child, "Dr A", "  ", folder=tmp_path)
    assert not lineage.is_promoted(child, tmp_path)
    before = child.path.read_bytes()
    lineage.overrule(child, "Dr A", "  the missed nodule is found now ", folder=tmp_path)
    assert lineage.is_promoted(child, tmp_path)
    lineage.overrule(child, "Dr B", "draws over vessels", promoted=False, folder=tmp_path)
    assert not lineage.is_promoted(child, tmp_path)
    told = [(one.reader, one.reason, one.promoted) for one in lineage.decisions(tmp_path)]
    assert told == [("Dr A", "the missed nodule is found now", True), ("Dr B", "draws over vessels", False)]
    assert child.path.read_bytes() == before


def test_a_damaged_line_hides_no_other_decision(made, tmp_path):
    child = made("child", gate={"promoted": False})
    lineage.overrule(child, "Dr A", "better", folder=tmp_path)
    log = tmp_path / OWN_FOLDER / lineage.DECISIONS
    of_no_date = log.read_bytes().replace(lineage.decisions(tmp_path)[0].time_utc.encode(), b"yesterday")
    log.write_bytes(b'{"cut\n\xff\n' + log.read_bytes() + of_no_date + b'{"checkpoint_sha256": "x"')
    assert lineage.is_promoted(child, tmp_path)
    assert len(lineage.decisions(tmp_path)) == 1


@pytest.mark.parametrize("reason", ["first\u2028second", "a\x85b", "a\nb"])
def test_a_reason_may_hold_any_line_end(made, tmp_path, reason):
    child = made("child", gate={"promoted": False})
    lineage.overrule(child, "Dr A", reason, folder=tmp_path)
    assert [one.reason for one in lineage.decisions(tmp_path)] == [reason]


def test_a_decision_after_a_line_that_was_cut_is_kept(made, tmp_path):
    child = made("child", gate={"promoted": False})
    lineage.overrule(child, "Dr A", "better", folder=tmp_path)
    log = tmp_path / OWN_FOLDER / lineage.DECISIONS
    log.write_bytes(log.read_bytes() + b'{"checkpoint_sha256": "x", "reason": "cut')
    taken_back = lineage.overrule(child, "Dr B", "draws over vessels", promoted=False, folder=tmp_path)
    assert lineage.decisions(tmp_path)[-1] == taken_back
    assert not lineage.is_promoted(child, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_where_there_is_no_room_no_part_of_a_decision_is_left(made, tmp_path):
    import resource
    import signal

    child = made("child", gate={"promoted": False})
    lineage.overrule(child, "Dr A", "better", folder=tmp_path)
    log = tmp_path / OWN_FOLDER / lineage.DECISIONS
    before = log.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(OSError, match=r"space|large"):
            lineage.overrule(child, "Dr B", "draws over vessels", promoted=False, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, told)
    assert log.read_bytes() == before
    assert lineage.is_promoted(child, tmp_path)


def test_a_gate_that_does_not_say_that_it_promotes_does_not(made, tmp_path):
    assert not lineage.is_promoted(made("child", gate={"words": "Why."}), tmp_path)
    assert lineage.is_promoted(made("trained"), tmp_path)


def test_no_child_overwrites_its_parent_nor_what_ships(made, tmp_path):
    base = made("base")
    module, before = checkpoint.revived(base), base.path.read_bytes()
    card = base.card.model_copy(update={"parent_sha256": base.sha256})
    with pytest.raises(ValueError, match="starts from"):
        checkpoint.save(module, card, base.path)
    assert base.path.read_bytes() == before


def test_a_link_does_not_lead_to_what_ships(tmp_path):
    shipped = next(SHIPPED.glob("*.safetensors"))
    link = tmp_path / "mine.safetensors"
    link.symlink_to(shipped)
    with pytest.raises(ValueError, match="came with the package"):
        checkpoint.check_free(link)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a\nb", "ende.", "naïve"])
def test_a_name_that_is_not_safe_everywhere_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="A name has"):
        checkpoint.named_path(name, tmp_path)


@pytest.mark.parametrize("name", ["con", "LPT1.x", "Aux .v2"])
def test_what_windows_takes_for_a_device_is_no_checkpoint(name, made, tmp_path):
    base = made("base")
    with pytest.raises(ValueError, match=f"no file can be called {name.split('.')[0].strip()}; choose another name"):
        checkpoint.save(checkpoint.revived(base), base.card, tmp_path / f"{name}.safetensors")
    assert not list(tmp_path.glob(f"{name}*"))
    checkpoint.check_free(tmp_path / "console.safetensors")


def test_a_name_is_taken_once(made, tmp_path):
    assert checkpoint.named_path(" after-week.47 ", tmp_path) == tmp_path / OWN_FOLDER / "after-week.47.safetensors"
    made("base")
    with pytest.raises(ValueError, match="base already"):
        checkpoint.named_path("base.safetensors", tmp_path)
    with pytest.raises(ValueError, match="On Windows no file can be called con"):
        checkpoint.named_path("con", tmp_path)


def test_what_is_marked_after_the_corrections_were_copied_is_not_learned(made):
    base = made("base")
    assert lineage.learned_until(base) == ""
    card = base.card.model_copy(update={"scans_sha256": ("a",)})
    assert lineage.learned_until(replace(base, card=card)) == base.card.created_utc
    card = card.model_copy(update={"config": {lineage.COPIED_UTC: "2026-11-21T09:58:00.5+00:00"}})
    assert lineage.learned_until(replace(base, card=card)) == "2026-11-21T09:58:00.5+00:00"
