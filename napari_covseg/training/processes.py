"""One training by several processes, as ``torchrun`` starts them; a lone process is a group of one."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Processes:
    """Which process of how many this is."""

    rank: int
    count: int

    @classmethod
    def here(cls) -> Self:
        """Join the group that ``torchrun`` announces in the environment; without one, be alone."""
        if "WORLD_SIZE" not in os.environ or not distributed.is_available():
            return cls(0, 1)
        if not distributed.is_initialized():
            import torch.distributed.nn  # imported later, its functions would hold the group as a default

            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            atexit.register(distributed.destroy_process_group)  # else its threads outlive Python, and may abort
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, parts: int) -> range:
        """Return the parts of a step that this process does.

        Raises
        ------
        ValueError
            If the parts cannot be shared out evenly.
        """
        if parts % self.count:
            raise ValueError(f"{parts} parts cannot be shared by {self.count} processes; ask for {self.count}.")
        return range(self.rank, parts, self.count)

    def summed(self, loss: float, *tensors: Sequence[Tensor]) -> float:
        """Sum tensors over all processes, in place, and return the summed loss."""
        if self.count == 1:
            return loss
        total = torch.tensor(loss, device=tensors[0][0].device)
        for tensor in (total, *(t for group in tensors for t in group)):
            distributed.all_reduce(tensor)
        return float(total)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process, so that all of them stop at the same step."""
        if self.count == 1:
            return flag
        flags = torch.tensor(float(flag))
        if distributed.get_backend() == "nccl":
            flags = flags.cuda()
        distributed.all_reduce(flags)
        return bool(flags > 0)

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.count > 1:
            distributed.barrier()
