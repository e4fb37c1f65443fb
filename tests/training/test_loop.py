"""The loop: resumable to the bit, reproducible, it learns, it keeps the best, and it stops when it must."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_covseg.jobs import Progress, drain
from napari_covseg.training import learner, loop
from napari_covseg.training.loop import CheckDone, StepDone
from napari_covseg.training.tensor_files import read_tensors, write_tensors

PROGRAM = Path(__file__).with_name("small_training.py")


def _loaded(path):
    module = importlib.util.module_from_spec(found := importlib.util.spec_from_file_location(path.stem, path))
    found.loader.exec_module(module)
    return module


small = _loaded(PROGRAM)
CONFIG = small.CONFIG


def run(config=CONFIG, **where):
    steps = []
    return drain(small.training(config, **where), steps.append), steps


def weights(module):
    state = module if isinstance(module, dict) else module.state_dict()
    return torch.cat([tensor.flatten().double() for tensor in state.values()])


def of_kind(kind, steps):
    return [step for step in steps if isinstance(step, kind)]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first = weights(run()[0])
    assert torch.equal(first, weights(run()[0]))
    assert not torch.equal(first, weights(run(replace(CONFIG, seed=6))[0]))


def test_a_training_stopped_by_the_clock_again_and_again_ends_at_the_same_bits(tmp_path):
    whole, _ = run()
    stopped = 0
    while (resumed := run(state_file=tmp_path / "w.state", deadline=0.0)[0]) is None:
        stopped += 1
    assert stopped == 11
    assert torch.equal(weights(whole), weights(resumed))


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    whole, _ = run()
    state, out = tmp_path / "w.state", tmp_path / "out.pt"
    words = [sys.executable, PROGRAM, out, "--state", state, "--slowly"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        said = next(line for line in program.stdout if line.strip() == "step 5")
        os.kill(program.pid, signal.SIGKILL)
    assert said
    assert program.returncode == -signal.SIGKILL
    assert not out.exists()
    resumed, steps = run(state_file=state)
    assert 1 < of_kind(StepDone, steps)[0].step <= 7
    assert torch.equal(weights(whole), weights(resumed))


@pytest.fixture
def pressing():
    """A loss during whose fifth step Ctrl-C is pressed so many times."""
    found = small.stage_loss(small.STAGE, small.THREE, CONFIG.loss)

    def pressed(times):
        calls = []

        def loss(*given):
            calls.append(given)
            for _ in range(times if len(calls) == 5 else 0):
                signal.raise_signal(signal.SIGINT)
            return found(*given)

        return loss

    return pressed


def test_ctrl_c_within_a_step_keeps_that_step_whole_and_the_training_goes_on_to_the_same_bits(pressing, tmp_path):
    whole, _ = run()
    state = tmp_path / "w.state"
    with pytest.raises(KeyboardInterrupt):
        run(state_file=state, loss=pressing(1))
    assert read_tensors(state)["step"] == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.equal(weights(whole), weights(run(state_file=state)[0]))


def test_ctrl_c_twice_does_not_wait_and_keeps_no_half_step(pressing, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(state_file=tmp_path / "w.state", loss=pressing(2))
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_closed_at_a_step_that_is_checked_has_had_its_check(tmp_path):
    def judged(network):
        return float(weights(network).sum())

    config, state = replace(CONFIG, checks=3), tmp_path / "w.state"
    job = small.training(config, state_file=state, check=judged)
    while not (isinstance(step := next(job), StepDone) and step.step == 4):
        pass
    job.close()
    assert read_tensors(state)["best"][1] is not None


def test_a_state_of_other_settings_is_refused(tmp_path):
    state = tmp_path / "w.state"
    run(state_file=state, deadline=0.0)
    with pytest.raises(ValueError, match="other settings"):
        run(replace(CONFIG, steps=13), state_file=state)


def test_the_last_step_is_done_even_when_time_is_over(tmp_path):
    finished, _ = run(replace(CONFIG, steps=1), state_file=tmp_path / "w.state", deadline=0.0)
    assert finished is not None
    assert not (tmp_path / "w.state").exists()


def test_a_state_is_saved_every_so_often(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0)
    state = tmp_path / "w.state"
    job = small.training(state_file=state)
    while not state.exists():
        next(job)
    assert torch.load(state, weights_only=True)["step"] == 1
    job.close()


def test_a_training_that_is_stopped_between_two_steps_goes_on_to_the_same_bits(tmp_path):
    whole, _ = run()
    state = tmp_path / "w.state"
    job = small.training(state_file=state)
    while not (isinstance(step := next(job), StepDone) and step.step == 5):
        pass
    job.close()
    resumed, steps = run(state_file=state)
    assert of_kind(StepDone, steps)[0].step == 6
    assert torch.equal(weights(whole), weights(resumed))


def test_every_step_is_told_with_its_rate():
    _, steps = run()
    done = of_kind(StepDone, steps)
    assert [step.step for step in done] == list(range(1, 13))
    assert [step.done for step in of_kind(Progress, steps)] == list(range(1, 13))
    assert done[0].learning_rate == CONFIG.learning_rate
    assert done[11].learning_rate == pytest.approx(CONFIG.learning_rate * 0.5 * (1 + cos(pi * 10 / 11)))


def test_the_rate_warms_up_and_then_falls_or_stays():
    for schedule, last in (("cosine", 0.5 * (1 + cos(pi * 7 / 8))), ("constant", 1.0)):
        _, steps = run(replace(CONFIG, warm_up=1 / 3, schedule=schedule))
        shares = [step.learning_rate / CONFIG.learning_rate for step in of_kind(StepDone, steps)]
        assert shares[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
        assert shares[-1] == pytest.approx(last)


def test_the_loss_falls_on_a_task_that_grey_values_solve():
    _, steps = run(replace(CONFIG, steps=80, batch=4, learning_rate=2e-2))
    losses = [step.loss for step in of_kind(StepDone, steps)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_parts_add_up_to_one_step(monkeypatch):
    """Without batch norm's statistics, two parts of one sample are one part of the same two."""
    monkeypatch.setattr(learner, "bfloat16_gains", lambda *_, **__: False)
    config = replace(CONFIG, steps=3, freeze_batch_norm=True)
    halves = small.batch_source(small.stacks(), small.SPEC, small.STAGE, small.THREE, replace(config, batch=1))

    def whole(step, _part=0):
        streams, labels, annotated = zip(*(halves(step, part) for part in (0, 1)), strict=True)
        return (torch.cat([grey for (grey,) in streams]),), torch.cat(labels), [*annotated[0], *annotated[1]]

    def mean_of_samples(logits, labels, _annotated):
        return torch.nn.functional.cross_entropy(logits, labels.long())

    found = []
    for batch_at, parts in ((halves, 2), (whole, 1)):
        module = small.network()
        module[3].p = 0.0
        found.append(run(replace(config, parts=parts), module=module, batch_at=batch_at, loss=mean_of_samples)[0])
    assert torch.allclose(weights(found[0]), weights(found[1]), atol=1e-5)


def test_the_average_follows_the_weights_more_slowly_the_larger_its_decay():
    start = weights(small.network())
    quick, slow = (weights(run(replace(CONFIG, ema_decay=decay))[0]) for decay in (0.1, 0.7))
    assert 0 < (slow - start).norm() < (quick - start).norm()


def test_early_stopping_keeps_the_best_and_not_the_last():
    values = iter([3.0, 1.0, 2.0, 2.0, 0.5])
    seen = []

    def check(average):
        seen.append(weights(average).clone())
        return next(values)

    kept, steps = run(replace(CONFIG, patience=2), check=check)
    assert [step.loss for step in of_kind(CheckDone, steps)] == [3.0, 1.0, 2.0, 2.0]
    assert of_kind(StepDone, steps)[-1].step == 4
    assert torch.equal(weights(kept), seen[1])
    assert not torch.equal(seen[1], seen[3])


def test_without_patience_every_step_is_done_and_the_best_still_kept():
    values = iter([1.0, *[2.0] * 11])
    seen = []
    kept, steps = run(check=lambda average: seen.append(weights(average).clone()) or next(values))
    assert of_kind(StepDone, steps)[-1].step == 12
    assert torch.equal(weights(kept), seen[0])


def test_a_resumed_training_remembers_its_best(tmp_path):
    def best(**where):
        values, seen = iter([1.0, *[2.0] * 11]), []
        check = lambda average: seen.append(weights(average).clone()) or next(values)  # noqa: E731
        config = replace(CONFIG, patience=4)
        while (kept := run(config, check=check, **where)[0]) is None:
            pass
        return weights(kept), seen

    resumed, seen = best(state_file=tmp_path / "w.state", deadline=0.0)
    assert torch.equal(resumed, seen[0])
    assert len(seen) == 5
    assert torch.equal(resumed, best()[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(value):
    calls = []

    def breaks(logits, _labels, _annotated):
        calls.append(1)
        return logits.sum() * (value if len(calls) == 3 else 1.0)

    with pytest.raises(ValueError, match="no number any more at step 3; try a smaller learning rate"):
        run(loss=breaks)
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(ValueError, match=r"at step 3\.$"):  # its rate is not the reader's to set
        run(loss=breaks, beside=lambda _module, logits, _batch: logits.sum() * 0)


def test_frozen_batch_norm_keeps_its_statistics():
    config = replace(CONFIG, steps=3)
    assert torch.equal(run(replace(config, freeze_batch_norm=True))[0][1].running_mean, torch.zeros(8))
    assert not torch.equal(run(config)[0][1].running_mean, torch.zeros(8))


def test_gradients_are_clipped_to_their_norm():
    """AdamW forgets the length of a gradient, so only its momenta tell; a clipped one is no longer than the limit."""
    norms = []

    def spied(parameters, limit):
        parameters = list(parameters)
        original(parameters, limit)
        norms.append(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item())

    original = torch.nn.utils.clip_grad_norm_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", spied)
        run(replace(CONFIG, clip_norm=1e-3))
    assert len(norms) == 12
    assert max(norms) <= 1e-3 * 1.001


def test_the_deadline_is_looked_at_after_a_step_and_not_before(tmp_path):
    finished, steps = run(state_file=tmp_path / "w.state", deadline=time.monotonic() + 3600)
    assert finished is not None
    assert len(of_kind(StepDone, steps)) == 12


def test_settings_that_an_older_build_did_not_know_are_those_by_default():
    saved = asdict(CONFIG)
    del saved["checks"]
    assert CONFIG.is_as_saved(saved)
    assert not replace(CONFIG, checks=3).is_as_saved(saved)
    assert not CONFIG.is_as_saved({**saved, "of a newer build": 1})


def test_a_state_with_a_flipped_bit_or_cut_is_damaged_or_the_same(tmp_path):
    path, rng = tmp_path / "a.state", np.random.default_rng(0)
    content = {"config": {"steps": 3}, "weights": {"a": torch.arange(600.0)}}
    write_tensors(path, content)
    whole, refused = path.read_bytes(), []
    for _ in range(300):
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken) if rng.random() < 0.7 else whole[: rng.integers(len(whole))])
        try:
            found = read_tensors(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert found["config"] == content["config"]
            assert torch.equal(found["weights"]["a"], content["weights"]["a"])
    assert len(refused) > 200
    assert set(refused) == {"a.state is damaged; start anew."}
