"""Whose fault it is that a device has no memory left: the training's or its neighbours'."""

import re
from typing import NamedTuple

import torch

from records.words import storage
from train_core import Crowded, OutOfMemory

_CONTEXT = 2**30
"""Bytes that a process holds of a GPU beside its tensors, at most: kernels, libraries, graphs."""

_ASKED = re.compile(r"Tried to allocate ([\d.]+) (bytes|[KMG]iB)")
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class MemoryUse(NamedTuple):
    """What a GPU's memory is used for, in bytes.

    Attributes:
        total: All that there is.
        free: What nobody has.
        own: What torch has taken for this process.
        peak: The most that this process's tensors took at once since `forget_peak`.
    """

    total: int
    free: int
    own: int
    peak: int

    @property
    def others(self) -> int:
        """What other processes have, and what this one has beside its tensors."""
        return self.total - self.free - self.own


def forget_peak(device: torch.device) -> None:
    """Measure the peak from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory_use(device: torch.device) -> MemoryUse | None:
    """How it stands; None where several processes do not share a device of fixed size."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    return MemoryUse(total, free, own, torch.cuda.max_memory_allocated(device))


def stopped_by(reason: str, use: MemoryUse | None) -> OutOfMemory:
    """What ends a training that ran out of memory.

    Args:
        reason: What torch said, perhaps with the size that it could not get.
        use: How memory stood then.
    """
    if use is not None and _fits_alone(use, _asked(reason)):
        held = f"{storage(use.others)} of {storage(use.total)}"
        return Crowded(f"out of memory, of which others on the device hold {held}: {reason}")
    return OutOfMemory(f"out of memory: {reason}")


def _fits_alone(use: MemoryUse, asked: int) -> bool:
    """Whether the device has others' memory in it, and could hold the training without them."""
    return use.others > _CONTEXT and use.peak + asked <= use.total - _CONTEXT


def _asked(reason: str) -> int:
    """The bytes that a message of torch says could not be had; 0 if it says none."""
    found = _ASKED.search(reason)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0
