"""Which slices are drawn: by seed, step and part alone, the classes evenly, and none that teach nothing."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_covseg.networks import load
from napari_covseg.training.batches import ONE_SIDED_SHARE, batch_source
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.stacks import IGNORED

THREE = ("ggo", "consolidation", "effusion")
FULL = frozenset(THREE)
CONFIG = TrainingConfig(steps=1, batch=2, crop=32, seed=5)
SPEC = load("res_att_unet")


def source(stacks, config=CONFIG, spec=SPEC, stage=0, scheme=THREE):
    return batch_source(stacks, spec, spec.stages[stage], scheme, config)


def same(one, other):
    return torch.equal(one[0][0], other[0][0]) and torch.equal(one[1], other[1]) and one[2] == other[2]


def test_a_batch_depends_on_seed_step_and_part_alone(squares):
    batch_at = source(squares)
    later_first = batch_at(7, 1)
    for step in range(3):
        batch_at(step)
    assert same(later_first, batch_at(7, 1))
    assert same(later_first, source(squares)(7, 1))
    assert not same(later_first, batch_at(7, 0))
    assert not same(later_first, batch_at(8, 1))
    assert not same(later_first, source(squares, replace(CONFIG, seed=6))(7, 1))


def test_a_part_is_the_first_without_being_named(squares):
    assert same(source(squares)(3), source(squares)(3, 0))


def test_a_batch_has_one_stream_per_argument_and_one_kind_of_annotation_per_sample(squares):
    streams, labels, annotated = source(squares, spec=load("masc_net"), scheme=("infection",))(0)
    assert [stream.shape for stream in streams] == [(2, 1, 32, 32)] * 2
    assert labels.shape == (2, 32, 32)
    assert annotated == [FULL | {"lung"}] * 2
    config = replace(CONFIG, depth=8)
    ((volume,), labels, _) = source(squares, config, load("covid_segnet"))(0)
    assert (volume.shape, labels.shape) == ((2, 1, 8, 32, 32), (2, 8, 32, 32))


def flat(make_stack, label, **known):
    """A slice that is one label throughout, so that a batch tells which was drawn."""
    return make_stack(np.full((1, 32, 32), label), **known)


def drawn(stacks, draws=300):
    """Count the labels at the centres of crops that nothing moves."""
    config = replace(CONFIG, batch=draws, crop=8, augmentation=())
    _, labels, annotated = source(stacks, config)(0)
    return Counter(labels[:, 4, 4].tolist()), Counter(annotated)


def test_classes_are_drawn_evenly_however_rare_their_slices(make_stack):
    stacks = [flat(make_stack, 1) for _ in range(20)] + [flat(make_stack, 2)]
    labels, _ = drawn(stacks)
    assert labels[2] / labels.total() == pytest.approx(0.75 / 2 + 0.25 / 21, abs=0.1)


def test_slices_without_a_lesion_are_drawn_too(make_stack):
    labels, _ = drawn([flat(make_stack, 1), flat(make_stack, 0)])
    assert labels[0] / labels.total() == pytest.approx(0.25 / 2, abs=0.07)


def test_patients_are_drawn_evenly_however_many_slices_they_have(make_stack):
    stacks = [flat(make_stack, 1, patient="many") for _ in range(9)] + [flat(make_stack, 2, patient="few")]
    labels, _ = drawn(stacks)
    assert labels[2] / labels.total() == pytest.approx(0.5, abs=0.1)


def test_kinds_are_drawn_by_the_square_root_of_what_they_teach(make_stack):
    stacks = [flat(make_stack, 1), flat(make_stack, 3, annotated={"effusion"}, patient="q")]
    _, kinds = drawn(stacks)
    assert kinds[FULL] / kinds.total() == pytest.approx(3**0.5 / (1 + 3**0.5), abs=0.1)


def test_slices_nobody_looked_at_are_never_drawn(make_stack):
    labels = np.full((4, 32, 32), IGNORED)
    labels[2] = 1
    config = replace(CONFIG, batch=30, crop=8, depth=1, augmentation=())
    _, drawn_labels, _ = source([make_stack(labels)], config, load("covid_segnet"))(0)
    assert (drawn_labels == 1).all()


def test_kinds_that_teach_nothing_are_left_out(make_stack):
    stacks = [flat(make_stack, 1), flat(make_stack, 3, annotated={"effusion"}, patient="q")]
    config = replace(CONFIG, batch=20)
    _, _, annotated = source(stacks, config, load("masc_net"), scheme=("infection",))(0)
    assert set(annotated) == {FULL}


CHS = load("chs_net")
MASKED = FULL | {"lung"}


def lung_draws(stacks, draws=600, **other):
    config = replace(CONFIG, batch=draws, crop=8, augmentation=())
    _, labels, annotated = source(stacks, replace(config, **other), CHS)(0)
    return Counter(zip(annotated, labels[:, 4, 4].tolist(), strict=True))


def test_effusion_without_a_lung_mask_is_drawn_rarely_for_a_lung_stage(make_stack):
    """There is half of each kind; one says where the region is and never where it is not."""
    stacks = [
        flat(make_stack, 3, patient="slices"),
        flat(make_stack, 3, annotated={"effusion"}, patient="l"),
        flat(make_stack, 0, annotated=MASKED, patient="m"),
        flat(make_stack, 0, annotated={"infection", "lung"}, patient="c"),
    ]
    drawn = lung_draws(stacks)
    by_kind = {kind: sum(n for (found, _), n in drawn.items() if found == kind) for kind, _ in drawn}
    one_sided = by_kind[FULL] + by_kind[frozenset({"effusion"})]
    assert one_sided / drawn.total() == pytest.approx(ONE_SIDED_SHARE, abs=0.04)
    assert by_kind[MASKED] / (drawn.total() - one_sided) == pytest.approx(3**0.5 / (1 + 3**0.5), abs=0.06)


def test_what_is_one_sided_is_not_drawn_more_often_than_others_of_its_kind_would_be(make_stack):
    """One effusion scan among kinds that teach more is rarer than its share allows."""
    kinds = [{"lung", *names} for names in ((), ("ggo",), ("effusion",), ("infection",), THREE, ("ggo", "effusion"))]
    stacks = [flat(make_stack, 0, annotated=kind, patient=str(n)) for n, kind in enumerate(kinds)]
    stacks += [flat(make_stack, 0, annotated={*kind, "infection"}, patient=f"i{n}") for n, kind in enumerate(kinds)]
    drawn = lung_draws([*stacks, flat(make_stack, 3, annotated={"effusion"}, patient="l")])
    assert 0.02 < drawn[frozenset({"effusion"}), 3] / drawn.total() < 0.09


def test_what_is_one_sided_is_drawn_where_it_says_something(make_stack):
    """Ground glass without a lung mask, and patients without effusion, say nothing to a lung stage."""
    labels = np.zeros((2, 32, 32), np.uint8)
    labels[0], labels[1] = 1, 3
    stacks = [
        make_stack(labels, patient="both"),
        flat(make_stack, 1, patient="none"),
        flat(make_stack, 0, annotated=MASKED, patient="m"),
    ]
    drawn = lung_draws(stacks, lesion_share=1.0)
    assert {label for kind, label in drawn if kind == FULL} == {3}


def test_a_lung_stage_is_not_taught_by_effusion_alone(make_stack):
    stacks = [flat(make_stack, 3, annotated={"effusion"}), flat(make_stack, 1)]
    with pytest.raises(ValueError, match=r"^Nothing here teaches the lung part of CHS-Net: no .* has a lung mask\.$"):
        source(stacks, spec=CHS)


def test_an_infection_stage_may_be_shown_effusion_alone(make_stack):
    """A fine-tuning on one effusion scan, with slices without any, goes on to the stage that tells lesions apart."""
    stacks = [flat(make_stack, 0, annotated={"effusion"}, lung=np.ones((1, 32, 32), bool))]
    assert source(stacks, spec=load("two_stream_segnet"), stage=1)(0)[2] == [frozenset({"effusion"})] * 2


def test_nothing_to_learn_is_refused_in_a_sentence(make_stack):
    stacks = [flat(make_stack, 3, annotated={"effusion"})]
    with pytest.raises(ValueError, match=r"^Nothing here teaches the lesion part of MASC-Net: .*not annotated\.$"):
        source(stacks, spec=load("masc_net"), scheme=("infection",))


def test_without_any_reviewed_slice_there_is_nothing_to_learn(make_stack):
    with pytest.raises(ValueError, match="Nothing here teaches"):
        source([flat(make_stack, IGNORED)])


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.2, 0.5), (1.0, 1.0, 1.0)])
def test_so_many_pieces_are_cut_at_a_lesion(share, low, high, make_stack):
    """One slice of three bears a lesion, in a corner."""
    labels = np.zeros((3, 96, 96), np.uint8)
    labels[1, :8, :8] = 1
    batch_at = source([make_stack(labels)], replace(CONFIG, lesion_share=share, augmentation=(), crop=96))
    found = np.mean([(batch_at(step)[1] == 1).flatten(1).any(dim=1).float().mean().item() for step in range(60)])
    assert low <= found <= high
