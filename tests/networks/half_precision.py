"""Two runs of a network that differ in their last bits, compared."""

from __future__ import annotations

import torch


def both(one, other, inputs):
    """Return the logits of two networks."""
    with torch.inference_mode():
        return one(*inputs), other(*inputs)


def agreement(stage, scheme, one, other):
    """Return the share of pixels that two logits decide alike."""
    softmax = "background" in stage.channels(scheme)
    decided = (logits.argmax(dim=1) if softmax else logits > 0 for logits in (one, other))
    return torch.eq(*decided).float().mean().item()
