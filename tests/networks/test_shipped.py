"""What half precision costs the weights that ship: next to nothing, with the earlier stages' masks held fixed."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache

import pytest
import torch

from napari_covseg.inference.cascade import region_seen, stage_prediction
from napari_covseg.io import read_volume
from napari_covseg.io.sample import sample_scan
from napari_covseg.networks import available, checkpoint, load, sums
from napari_covseg.networks.learned import merged
from napari_covseg.preprocess import prepared
from napari_covseg.volume import cropped, reoriented

from .half_precision import agreement, both

SHIPPED = [c for key in available() for c in checkpoint.known(key) if c.is_shipped]
OFF_THE_GRID = 2.0**-12
"""Half of the distance between fp16 numbers: weights as training leaves them, not as a file has rounded them."""


@cache
def sample():
    return reoriented(read_volume(sample_scan()))


def slab_of(spec):
    """A slice of the sample through its lesions, or a block of it as large as the network's patch."""
    depth, height, width = sample().geometry.shape
    if spec.grain == "slice":
        return cropped(sample(), (depth // 2, 0, 0), (depth // 2 + 1, height, width))
    size = [min(p, n) for p, n in zip(spec.patch, (depth, height, width), strict=True)]
    start = [(n - s) // 2 for n, s in zip((depth, height, width), size, strict=True)]
    return cropped(sample(), start, [a + s for a, s in zip(start, size, strict=True)])


def inputs_of_every_stage(module, found, spec):
    """Yield each stage and its streams; later stages look where this module's earlier ones saw something."""
    regions, slab = {}, slab_of(spec)
    for stage in spec.stages:
        yield stage, [_argument(stream, slab, regions, spec) for stream in stage.streams]
        if spec.grain == "slice":
            scheme, cpu = found.card.scheme, torch.device("cpu")
            _, prediction = stage_prediction(module[stage.name], stage, scheme, cpu, slab, regions)
            regions[stage.name] = region_seen(prediction.mask(), stage, scheme)


def _argument(stream, slab, regions, spec):
    grey = torch.from_numpy(prepared(slab, stream.steps).hu)
    for name in stream.masked_by:
        grey = grey * torch.from_numpy(regions[name])
    return grey[None, None] if spec.grain == "patch" else grey[None]


def off_the_grid(found):
    module, generator = checkpoint.revived(found), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(1 + OFF_THE_GRID * (2 * torch.rand(p.shape, generator=generator) - 1))
    return module


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_trained_weights_say_the_same_after_they_were_in_a_file(found, tmp_path):
    """Within 0.01 of a logit, of equal masks of the earlier stages."""
    network, scheme, exact = found.card.network, found.card.scheme, off_the_grid(found)
    revived = checkpoint.revived(checkpoint.save(exact, found.card, tmp_path / "a.safetensors"))
    for stage, streams in inputs_of_every_stage(exact, found, load(network)):
        full, half = both(exact[stage.name], revived[stage.name], streams)
        assert not torch.equal(full, half)
        assert torch.allclose(half, full, atol=1e-2, rtol=0), stage.name
        assert agreement(stage, scheme, full, half) >= 0.999, stage.name


def test_the_list_of_fingerprints_beside_the_weights_is_of_these_very_files():
    files = checkpoint.SHIPPED.glob("*.safetensors")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert {name: sums.listed_sha256(checkpoint.SHIPPED / name) for name in digests} == digests


def test_a_shipped_file_with_one_changed_bit_is_refused(tmp_path, monkeypatch):
    for file in checkpoint.SHIPPED.iterdir():
        if file.suffix == ".safetensors" or file.name == sums.LIST:
            shutil.copy(file, tmp_path)
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    path = tmp_path / f"{SHIPPED[0].name}.safetensors"
    checkpoint.revived(checkpoint.read(path))
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its weights are not those that were saved"):
        checkpoint.revived(checkpoint.read(path))


@pytest.mark.parametrize("found", SHIPPED, ids=lambda one: one.name)
def test_slices_that_taught_are_known_in_cropped_copies_too(found):
    """By two fingerprints, of which the second is of what lies in the lungs: nobody is judged by what taught them."""
    every = merged(*(one.card.learned for one in SHIPPED))
    assert {scan: seen.slices_sha256 for scan, seen in found.card.learned.items()} == {
        scan: every[scan].slices_sha256 for scan in found.card.learned
    }
    told = [each for seen in found.card.learned.values() for each in seen.slices_sha256]
    assert sum(len(each.split()) == 2 for each in told) > 0.8 * len(told)
