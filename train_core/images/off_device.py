"""Images that the device has no room for: they stay where they are, and come to it when needed."""

from collections.abc import Iterator
from typing import TypeAlias, overload

import torch
from torch import Tensor

from train_core.data.stored import ImageRows


class OffDevice:
    """Images `(N, H, W, 3)` uint8 that stay in a file or in host memory.

    A slice is a view and rows are a copy on the device, as of a tensor that is on it; the rest of
    a tensor's methods is missing.
    """

    def __init__(self, rows: ImageRows, device: torch.device) -> None:
        self.rows, self.device = rows, device

    @property
    def shape(self) -> torch.Size:
        """`(N, H, W, 3)`."""
        return torch.Size(self.rows.shape)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, which: slice) -> "OffDevice": ...
    @overload
    def __getitem__(self, which: Tensor | list[int]) -> Tensor: ...
    def __getitem__(self, which: slice | Tensor | list[int]) -> "Tensor | OffDevice":
        if isinstance(which, slice):
            return OffDevice(self.rows[which], self.device)
        places = torch.as_tensor(which).cpu().numpy()
        return torch.from_numpy(self.rows.take(places)).to(self.device)

    def split(self, count: int) -> Iterator[Tensor]:
        """So many at a time, on the device; the next ones are read while the caller works."""
        return (torch.from_numpy(p).to(self.device) for p in self.rows.pieces(count))


Images: TypeAlias = Tensor | OffDevice
"""Either can be sliced, indexed by rows and split, and has a `shape` and a `device`."""
