"""Five papers, one shape."""

from napari_covseg.networks.card import Card
from napari_covseg.networks.checkpoint import Checkpoint
from napari_covseg.networks.registry import available, load
from napari_covseg.networks.spec import NetworkSpec, Prediction

__all__ = ["Card", "Checkpoint", "NetworkSpec", "Prediction", "available", "load"]
