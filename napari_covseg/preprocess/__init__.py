"""Pure steps from one volume to another: what a paper does to a slice before its network sees it."""

from napari_covseg.preprocess.equalise import Equalise
from napari_covseg.preprocess.steps import Resize, Square, Step, Window, prepared
from napari_covseg.preprocess.structure import Structure, Texture

__all__ = ["Equalise", "Resize", "Square", "Step", "Structure", "Texture", "Window", "prepared"]
