"""Any sequence of tools, undo and redo ends where its model says, and undoing all gives the proposal back."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_covseg.review import (
    PRESETS,
    Growth,
    HuRange,
    ReviewSession,
    Scene,
    Tip,
    accept,
    copy_slice,
    fill,
    fill_holes,
    grow,
    interpolate,
    keep_largest,
    relabel,
    relabel_by_hu,
    remove_islands,
    smooth,
    stroke,
)
from napari_covseg.volume import Geometry, Volume

SHAPE = (5, 9, 8)
AFFINE = np.zeros((4, 4))
AFFINE[2, 0], AFFINE[1, 1], AFFINE[0, 2], AFFINE[3, 3] = -3.0, -1.0, -2.0, 1.0
RNG = np.random.default_rng(0)
SCAN = Volume(RNG.integers(-900, 100, SHAPE, dtype=np.int16), Geometry(SHAPE, AFFINE), "case_ct")
LUNG = RNG.random(SHAPE) < 0.8
OTHER = (RNG.random(SHAPE) < 0.3).astype(np.uint8) * 2

places = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
classes = st.integers(1, 4)
ranges = st.sampled_from([*PRESETS.values(), HuRange(-1000, 200)])
tips = st.builds(
    Tip,
    value=st.integers(0, 4),
    diameter_mm=st.floats(0.5, 8),
    hu_range=st.one_of(st.none(), ranges),
    in_lungs=st.booleans(),
    over_classes=st.booleans(),
)
growths = st.builds(Growth, value=classes, hu_range=ranges, limit_mm=st.floats(1, 20), in_lungs=st.booleans())
kinds = st.sampled_from(["median", "gaussian"])
tools = st.one_of(
    st.tuples(st.just(stroke), st.lists(places, min_size=1, max_size=3), tips),
    st.tuples(st.just(fill), places, classes),
    st.tuples(st.just(grow), places, growths),
    st.tuples(st.just(interpolate), st.integers(0, SHAPE[0] - 1), classes, st.one_of(st.none(), places)),
    st.tuples(st.just(copy_slice), st.integers(0, SHAPE[0] - 1), st.sampled_from([-1, 1])),
    st.tuples(st.just(relabel), places, st.integers(0, 4)),
    st.tuples(st.just(relabel_by_hu), st.floats(-500, 0), st.one_of(st.none(), places)),
    st.tuples(st.just(accept), places, st.just(OTHER), st.just("another")),
    st.tuples(st.just(remove_islands), st.floats(0, 60)),
    st.tuples(st.just(keep_largest), classes),
    st.tuples(st.just(fill_holes), st.one_of(st.none(), st.floats(0, 60))),
    st.tuples(st.just(smooth), st.floats(0.5, 5), kinds),
)
reaches = st.one_of(st.none(), st.integers(0, SHAPE[0] - 1))
steps = st.lists(st.one_of(st.tuples(reaches, tools), st.sampled_from(["undo", "redo"])), min_size=1, max_size=10)
proposals = st.lists(st.tuples(st.integers(0, 4), classes, places), max_size=4)


def corrected(values, reach, tool):
    """What a tool makes of a label map, or None where it refuses or changes nothing; it must not write itself."""
    act, *arguments = tool
    scene = Scene(values, SCAN, LUNG)
    flat_tools = {interpolate, copy_slice}
    is_flat = reach is not None and act not in flat_tools
    if is_flat:
        scene = scene.on_slice(reach)
    was = values.copy()
    try:
        correction = act(scene, *arguments)
    except ValueError:  # refused: then nothing may have changed
        return None if np.array_equal(values, was) else NotImplemented
    assert np.array_equal(values, was)
    if correction is not None and is_flat:
        assert correction.slices == range(reach, reach + 1)
    return correction


def drawn(proposal):
    values = np.zeros(SHAPE, np.uint8)
    for index, value, (_, row, column) in proposal:
        values[index, row : row + 4, column : column + 3] = value
    return values


@given(proposals, steps)
@settings(max_examples=60, deadline=None)
def test_any_sequence_ends_where_the_model_says_and_undoing_all_gives_the_proposal_back(proposal, steps):
    with tempfile.TemporaryDirectory() as folder:
        session = ReviewSession.begin(Path(folder) / "s", SCAN, "Dr A")
        session.absorb(drawn(proposal), "network", "a network")
        states, at = [session.labels.values.copy()], 0
        for step in steps:
            if step in ("undo", "redo"):
                if step == "undo" and at > 0:
                    at -= session.undo()
                elif step == "redo":
                    at += session.redo()
            elif (correction := corrected(session.labels.values, *step)) is not None:
                session.correct(correction)
                expected = states[at].copy()
                expected[correction.box] = correction.after
                del states[at + 1 :]
                states.append(expected)
                at += 1
            assert session.labels.values.tobytes() == states[at].tobytes()
        session.close()
        again = ReviewSession.begin(Path(folder) / "s", SCAN, "Dr A")
        assert again.labels.values.tobytes() == states[at].tobytes()
        while again.undo_title not in ("", "a network"):
            again.undo()
        assert again.labels.values.tobytes() == states[0].tobytes() == drawn(proposal).tobytes()
        for state in states[1:]:
            again.redo()
            assert again.labels.values.tobytes() == state.tobytes()
        again.close()


@given(proposals, reaches, tools)
@settings(max_examples=150, deadline=None)
def test_a_tool_is_the_same_twice_and_its_box_is_the_smallest(proposal, reach, tool):
    values = drawn(proposal)
    first, second = corrected(values, reach, tool), corrected(values, reach, tool)
    assert (first is None) == (second is None)
    if first is None:
        return
    assert np.array_equal(first.after, second.after)
    assert first.start == second.start
    assert np.array_equal(values[first.box], first.before)
    differs = first.before != first.after
    for axis in range(3):
        assert differs.take(0, axis=axis).any()
        assert differs.take(-1, axis=axis).any()
