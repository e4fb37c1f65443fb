"""What a segmentation needs besides network and slices, and hardly anybody changes."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import CheckBox, ComboBox, Container

from napari_covseg.networks import Checkpoint
from napari_covseg.workbench import checkpoint_title

DEVICES = [("Fastest here", "auto"), ("Processor (CPU)", "cpu"), ("NVIDIA (CUDA)", "cuda"), ("Apple (MPS)", "mps")]


class MoreForm(Container):  # type: ignore[misc]
    """Device, checkpoint, and whether slices the reader corrected are written on too."""

    def __init__(self) -> None:
        self.device = ComboBox(label="Device", choices=DEVICES, tooltip="Where the network computes")
        self.checkpoint = ComboBox(
            label="Checkpoint", choices=[], nullable=True, tooltip="Which training of the network"
        )
        self.over_corrections = CheckBox(
            text="Also over slices I corrected",
            tooltip="Otherwise slices you corrected stay as they are; reviewed slices always do",
        )
        super().__init__(widgets=[self.device, self.checkpoint, self.over_corrections], labels=True)
        self.margins = (0, 0, 0, 0)

    def offer(self, checkpoints: Sequence[Checkpoint], chosen: Checkpoint | None) -> None:
        """List the checkpoints there are and show the chosen one."""
        with self.checkpoint.changed.blocked():
            listed = [*checkpoints, *([chosen] if chosen and chosen not in checkpoints else [])]
            self.checkpoint.choices = [(checkpoint_title(each), each) for each in listed]
            if chosen is not None:
                self.checkpoint.value = chosen
