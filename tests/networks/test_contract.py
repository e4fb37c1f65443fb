"""What every network of the registry keeps to, in the compact width; a sixth network is held to it by being there."""

import numpy as np
import pytest
import torch

from napari_covseg.networks import Card, available, checkpoint, load
from napari_covseg.networks.blocks import parameter_count
from napari_covseg.preprocess import prepared
from napari_covseg.volume import Geometry, Volume

from .half_precision import agreement, both

EXTENSION = ("ggo", "consolidation", "effusion")
STAGES = [(key, stage.name) for key in available() for stage in load(key).stages]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))]


@pytest.fixture(scope="module", params=available())
def spec(request):
    return load(request.param)


@pytest.fixture(scope="module")
def modules():
    return {key: _awake(key) for key in available()}


def _awake(key):
    """Seeded weights whose batch norms know their inputs: a fresh network fades to a constant, and tests would pass."""
    torch.manual_seed(0)
    modules = load(key).build(EXTENSION, "compact")
    for name, network in modules.items():
        for layer in network.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.reset_running_stats()
                layer.momentum = None  # a plain mean over the calls below
        with torch.no_grad():
            for _ in range(2):
                network.train()(*_inputs(key, name, 96, 96, n=2))
        network.eval()
        with torch.inference_mode():
            assert network(*_inputs(key, name, 96, 96)).std() > 0.01
    return modules


def _stage(key, name):
    return next(stage for stage in load(key).stages if stage.name == name)


def _inputs(key, name, *size, n=1):
    """One random argument per stream; a 3-D network's slices come first."""
    generator = torch.Generator().manual_seed(sum(size))
    size = size if load(key).grain == "slice" or len(size) == 3 else (16, *size)
    return [_smooth(torch.rand(n, 1, *size, generator=generator)) for _ in _stage(key, name).streams]


def _smooth(noise):
    """Grey that varies slowly with a little noise on it, as anatomy does."""
    coarse = torch.nn.functional.avg_pool2d(noise.flatten(0, 1), 9, stride=1, padding=4).reshape(noise.shape)
    return (4 * (coarse - 0.5) + 0.5 + 0.05 * (noise - 0.5)).clamp(0, 1)


def _sizes(key):
    return [(160, 160), (369, 369), (512, 512), (630, 630)] if load(key).grain == "slice" else [(48, 100, 100)]


def test_there_is_a_module_for_every_stage_and_none_besides(spec):
    assert list(spec.build(spec.scheme, "compact")) == [stage.name for stage in spec.stages]


@pytest.mark.parametrize("scheme", ["paper", "extension"])
def test_compact_stays_within_its_budget_and_paper_is_larger(spec, scheme):
    scheme = spec.scheme if scheme == "paper" else EXTENSION
    with torch.device("meta"):
        compact, paper = (parameter_count(spec.build(scheme, width)) for width in ("compact", "paper"))
    assert compact <= 2_400_000 < paper


def test_every_stage_of_the_paper_width_runs(spec):
    module = spec.build(spec.scheme, "paper").eval()
    for stage in spec.stages:
        size = (32, 32) if spec.grain == "slice" else (8, 16, 16)
        with torch.inference_mode():
            logits = module[stage.name](*_inputs(spec.key, stage.name, *size))
        assert logits.shape == (1, len(stage.channels(spec.scheme)), *size)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("scheme", ["paper", "extension"])
def test_channels_are_named_and_counted_alike(spec, scheme):
    scheme = spec.scheme if scheme == "paper" else EXTENSION
    module = spec.build(scheme, "compact").eval()
    for stage in spec.stages:
        inputs = _inputs(spec.key, stage.name, 64, 64)
        with torch.inference_mode():
            logits = module[stage.name](*inputs)
        assert logits.shape == (1, len(stage.channels(scheme)), *inputs[0].shape[2:])
    assert set(scheme) <= set(spec.stages[-1].channels(scheme))


def test_every_stream_of_a_stage_ends_on_one_grid(spec):
    slices = 1 if spec.grain == "slice" else 3
    affine = np.diag([0.8, 0.7, 5.0, 1.0])
    hu = np.random.default_rng(0).integers(-1000, 400, (90, 70, slices), dtype=np.int16)
    scan = Volume(hu.transpose(2, 1, 0), Geometry((slices, 70, 90), affine[:, [2, 1, 0, 3]]))
    grids = [prepared(scan, stream.steps) for stage in spec.stages for stream in stage.streams]
    assert all(grids[0].geometry.same_grid(grid.geometry) for grid in grids)
    assert all(grid.hu.dtype == np.float32 and np.isfinite(grid.hu).all() for grid in grids)


@pytest.mark.parametrize(("key", "name", "size"), [(k, n, s) for k, n in STAGES for s in _sizes(k)])
def test_any_size_comes_back_at_that_size(modules, key, name, size):
    with torch.inference_mode():
        logits = modules[key][name](*_inputs(key, name, *size))
    assert logits.shape[2:] == size
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("key", "name"), STAGES)
@pytest.mark.parametrize("device", DEVICES)
def test_evaluation_is_deterministic_and_alone_equals_in_a_batch(modules, key, name, device, monkeypatch):
    """At 160 pixels, where maps of 40 × 40 tokens are hashed and not attended to exactly."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # or a batch of one is rounded in its own way
    network = modules[key][name].to(device)
    inputs = [x.to(device) for x in _inputs(key, name, 160, 160, n=3 if load(key).grain == "slice" else 2)]
    with torch.inference_mode():
        batch = network(*inputs)
        torch.rand(17)  # the global generator must not matter
        again = network(*inputs)
        alone = network(*(x[1:2] for x in inputs))
    network.to("cpu")
    assert torch.equal(batch, again)
    assert torch.allclose(batch[1:2], alone, atol=1e-4, rtol=0)


FELT = 1e-7
"""Share of a network's largest gradient that is no rounding noise (1e-10 on biases that a batch norm takes away)."""


@pytest.mark.parametrize(("key", "name"), STAGES)
def test_gradient_reaches_every_weight(modules, key, name):
    """In evaluation, where no mean of the batch cancels what stands before a batch norm."""
    network = modules[key][name]
    loss = (network(*_inputs(key, name, 64, 64, n=2)) - 1).square().mean()
    names, weights = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    steepest = [0.0 if g is None else g.abs().max().item() for g in gradients]
    assert [n for n, g in zip(names, steepest, strict=True) if g <= FELT * max(steepest)] == []


@pytest.fixture(scope="module")
def revived(modules, tmp_path_factory):
    """The same networks after they were in a file."""
    folder = tmp_path_factory.mktemp("revived")
    cards = {key: Card(network=key, width="compact", scheme=EXTENSION, trained_on="nothing") for key in modules}
    return {
        key: checkpoint.revived(checkpoint.save(module, cards[key], folder / f"{key}.safetensors"))
        for key, module in modules.items()
    }


FAR = {"covid_segnet": 1.2e-2}
AGREE = {"chs_net": 0.998}
"""Exceptions to a hundredth of a logit and to 999 of 1000 decisions.

Random weights are the hard case: the batch norms blow up what hardly varies. COVID-SegNet moves one logit in two
million by 0.0102; of an untrained CHS-Net's pixels 1.5 of 1000 are so undecided that they change.
"""


@pytest.mark.parametrize(("key", "name"), STAGES)
def test_a_file_moves_no_logit_by_more_than_a_hundredth(modules, revived, key, name):
    full, half = both(modules[key][name], revived[key][name], _inputs(key, name, 160, 160))
    assert not torch.equal(full, half)
    torch.testing.assert_close(half, full, atol=FAR.get(key, 1e-2), rtol=0)


@pytest.mark.parametrize(("key", "name"), STAGES)
def test_a_file_changes_hardly_a_decision(modules, revived, key, name):
    logits = both(modules[key][name], revived[key][name], _inputs(key, name, 160, 160))
    assert agreement(_stage(key, name), EXTENSION, *logits) >= AGREE.get(key, 0.999)


@pytest.mark.parametrize("key", available())
def test_a_compact_file_of_every_class_is_small(modules, key, tmp_path):
    card = Card(network=key, width="compact", scheme=EXTENSION, trained_on="nothing")
    assert checkpoint.save(modules[key], card, tmp_path / "a.safetensors").path.stat().st_size <= 5_000_000
