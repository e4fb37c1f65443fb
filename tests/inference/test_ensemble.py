"""Several networks as one: a mean by class name, never by channel, and where they disagree."""

import numpy as np
import pytest

from napari_covseg.inference import Ensemble, Segmenter, members_of, woken
from napari_covseg.inference.cascade import SliceProposal
from napari_covseg.inference.ensemble import joint
from napari_covseg.io import read_volume
from napari_covseg.jobs import Progress, drain
from napari_covseg.networks import Card, Prediction, checkpoint, load
from napari_covseg.volume import LESIONS, reoriented

SCHEME = ("ggo", "consolidation", "effusion")


def _proposal(names, pixels, lung=None):
    """One row of pixels, each a mapping of class to probability."""
    probabilities = np.array([[[pixel.get(name, 0.0) for pixel in pixels]] for name in names], dtype=np.float32)
    prediction = Prediction(names, probabilities)
    return SliceProposal(prediction, prediction.labels(), None if lung is None else np.array([lung]))


def test_classes_meet_by_name_whatever_their_channel():
    one = _proposal(("background", *SCHEME), [{"ggo": 0.9, "background": 0.1}])
    two = _proposal(
        ("effusion", "consolidation", "background", "lung", "ggo"), [{"ggo": 0.5, "lung": 0.4, "effusion": 0.1}]
    )
    mean = joint([one, two], SCHEME).prediction
    assert mean.names == ("background", *SCHEME)
    assert np.allclose(mean.probabilities[:, 0, 0], [0.25, 0.7, 0, 0.05])


def test_two_may_outvote_one_and_disagreement_is_the_share_that_would_have_said_otherwise():
    ground_glass, nothing = [{"ggo": 1.0}, {"background": 1.0}], [{"background": 1.0}, {"background": 1.0}]
    names = ("background", *SCHEME)
    said = joint([_proposal(names, ground_glass), _proposal(names, ground_glass), _proposal(names, nothing)], SCHEME)
    assert said.labels.tolist() == [[LESIONS["ggo"].value, 0]]
    assert np.allclose(said.disagreement, [[1 / 3, 0]])


def test_the_lung_is_where_half_of_those_who_know_it_see_it():
    names = ("background", *SCHEME)
    pixels = [{"background": 1.0}] * 3
    lungs = [(True, True, False), (True, False, False), None]
    assert joint([_proposal(names, pixels, lung) for lung in lungs], SCHEME).lung.tolist() == [[True, True, False]]
    assert joint([_proposal(names, pixels)], SCHEME).lung is None


@pytest.fixture
def members(tmp_path):
    """Random weights of a network of slices and of one of patches."""
    kept = []
    for key in ("res_att_unet", "covid_segnet"):
        card = Card(network=key, width="compact", scheme=SCHEME, trained_on="nothing")
        kept.append(checkpoint.save(load(key).build(SCHEME, "compact"), card, tmp_path / f"{key}.safetensors"))
    return kept


def test_an_ensemble_is_the_mean_of_its_members(members, small_scan):
    scan = reoriented(read_volume(small_scan))
    both = Ensemble([Segmenter(one, "cpu") for one in members])
    steps = []
    result = drain(both.segment(scan, (2, 1)), steps.append)
    alone = [dict(s for s in m.proposals(scan, (1, 2)) if not isinstance(s, Progress)) for m in both.members]
    for index in (1, 2):
        expected = joint([said[index] for said in alone], SCHEME)
        assert (result.labels.values[index] == expected.labels).mean() > 0.999  # fp16 on the way
        told = result.disagreement_percent[index]
        assert np.abs(told - 100 * expected.disagreement).mean() < 0.5
    assert not result.disagreement_percent[0].any()
    assert result.labels.provenance.network == "all"
    assert result.lung is not None
    assert [step.done for step in steps if isinstance(step, Progress) and step.doing.startswith("slice")] == [1, 2]


def test_networks_that_know_other_classes_do_not_vote_together(members, tmp_path):
    card = Card(network="masc_net", width="compact", scheme=("infection",), trained_on="nothing")
    binary = checkpoint.save(load("masc_net").build(("infection",), "compact"), card, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="cannot vote together"):
        woken([members[0], binary], "cpu")


def test_one_checkpoint_is_no_ensemble(members):
    assert isinstance(woken(members[:1], "cpu"), Segmenter)
    assert isinstance(woken(members, "cpu"), Ensemble)


def test_all_networks_answer_with_the_weights_at_hand(untrained, no_weights):
    assert members_of("all") == (untrained,)
    with pytest.raises(ValueError, match="one network only"):
        members_of("all", "mine")


def test_without_any_weights_all_networks_are_refused(no_weights):
    with pytest.raises(ValueError, match="covseg train"):
        members_of("all")
