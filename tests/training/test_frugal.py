"""Less memory: the ladder, and activations computed twice without another result."""

import pytest
import torch

from napari_covseg.networks import available, load
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.frugal import compute_twice, is_out_of_memory, ladder

THREE = ("ggo", "consolidation", "effusion")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_ladder_goes_from_the_batch_to_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    rungs = list(ladder(TrainingConfig(steps=1, batch=4, crop=256), CUDA, 32))
    assert [words.split(" ")[0:2] for words, *_ in rungs] == [
        ["with", "2"],
        ["with", "1"],
        ["in", "mixed"],
        *[["with", "pieces"]] * 3,
        ["computing", "activations"],
        ["on", "the"],
    ]
    assert [config.crop for _, config, _ in rungs] == [256, 256, 256, 192, 128, 96, 96, 96]
    assert [kind for *_, kind in rungs] == ["cuda"] * 7 + ["cpu"]
    assert all(config.crop % 32 == 0 for _, config, _ in rungs)


def test_on_a_cpu_it_ends_with_activations_computed_twice():
    rungs = list(ladder(TrainingConfig(steps=1, batch=1, crop=96), CPU, 32))
    assert [(config.checkpointing, kind) for _, config, kind in rungs] == [(True, "cpu")]


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (MemoryError(), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, is_memory):
    assert is_out_of_memory(error) is is_memory


@pytest.mark.parametrize("key", available())
def test_activations_computed_twice_give_the_same_gradients_and_are_kept_less(key):
    spec = load(key)
    stage = spec.stages[-1]
    shape = (1, 1, 8, 32, 32) if spec.grain == "patch" else (1, 1, 64, 64)
    found = []
    for twice in (False, True):
        torch.manual_seed(0)
        network = spec.build(THREE, "compact")[stage.name].eval()
        if twice:
            compute_twice(network)
        torch.manual_seed(1)
        streams = [torch.rand(shape, requires_grad=True) for _ in stage.streams]
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            out = network(*streams)
        out.square().mean().backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        found.append((out.detach(), gradients, sum(kept)))
    (plain, one, before), (again, other, after) = found
    assert torch.equal(plain, again)
    assert len(one) == len(other)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(one, other, strict=True))
    assert after < 0.7 * before
