"""Two runs of a network that differ in their last bits, compared without what no rounding leaves alone."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.nn import functional


@contextmanager
def the_same_winners():
    """Hold the positions that max pooling hands to an unpooling: the first call's, for every later call of as many.

    Two neighbours that are all but equal swap places by the least rounding; unpooled, the value then stands elsewhere.
    """
    pool, first, turn = functional.max_pool2d, [], []

    def held(x, *args, return_indices=False, **settings):
        if not return_indices:
            return pool(x, *args, **settings)
        values, indices = pool(x, *args, return_indices=True, **settings)
        if held.recording:
            first.append(indices)
            return values, indices
        turn.append(len(turn) % len(first))
        indices = first[turn[-1]]
        return x.flatten(2).gather(2, indices.flatten(2)).view_as(values), indices

    def replay():
        held.recording = False

    held.recording = True
    functional.max_pool2d = held
    try:
        yield replay
    finally:
        functional.max_pool2d = pool


def both(one, other, inputs, held=False):
    """Return the logits of two networks, of equal pooling positions if they are held."""
    with torch.inference_mode():
        if not held:
            return one(*inputs), other(*inputs)
        with the_same_winners() as replay:
            logits = one(*inputs)
            replay()
            return logits, other(*inputs)


def agreement(stage, scheme, one, other):
    """Return the share of pixels that two logits decide alike."""
    softmax = "background" in stage.channels(scheme)
    decided = (logits.argmax(dim=1) if softmax else logits > 0 for logits in (one, other))
    return torch.eq(*decided).float().mean().item()
