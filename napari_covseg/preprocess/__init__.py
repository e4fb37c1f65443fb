"""Pure steps from one volume to another: what a paper does to a slice before its network sees it."""

from napari_covseg.preprocess.steps import Resize, Square, Step, Window, prepared

__all__ = ["Resize", "Square", "Step", "Window", "prepared"]
