"""Batches of images that are not on the device, read ahead while it works."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from train_core.images.off_device import OffDevice

AHEAD = 2
"""Batches that are read before they are needed."""


class Feed:
    """Puts one batch after the other where a step, captured or not, reads it.

    A thread reads from the file or from host memory into buffers, which are pinned for a GPU. From
    there a batch crosses to the GPU on a stream of its own, while the last step is still running.
    The thread itself asks nothing of the GPU, so that it cannot disturb a capture.

    Attributes:
        batch: `(B, H, W, 3)` uint8 on the device; always the same tensor.
    """

    def __init__(self, images: OffDevice, batch_size: int) -> None:
        shape, device = (batch_size, *images.shape[1:]), images.device
        self.batch = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._rows = images.rows
        self._crossing = _Crossing(self.batch) if device.type == "cuda" else None
        self._buffers = [
            torch.zeros(shape, dtype=torch.uint8, pin_memory=self._crossing is not None)
            for _ in range(AHEAD + 1)
        ]
        self._reader = ThreadPoolExecutor(1, "feed")
        self._waiting = deque[tuple[int, Future[np.ndarray]]]()
        self._order = np.zeros((0, batch_size), dtype=np.int64)
        self._asked = 0  # Batches of this order that were asked for.

    def begin(self, order: Tensor) -> None:
        """Go on with these rows, `(batches * B,)` int64."""
        self._order = order.cpu().numpy().reshape(-1, len(self.batch))
        # What is still being read comes to an end before the next one begins.
        self._waiting.clear()
        self._asked = 0

    def advance(self) -> None:
        """Put the next batch into `batch`; after the last one comes the first one again.

        Raises:
            OSError: The file cannot be read.
        """
        if not self._waiting:
            self._asked %= len(self._order)
            self._ask()
        number, future = self._waiting.popleft()
        future.result()
        if self._crossing is None:
            self.batch.copy_(self._buffers[number])
        else:
            self._crossing.send(self._buffers[number])
        while len(self._waiting) < AHEAD and self._asked < len(self._order):
            self._ask()

    def _ask(self) -> None:
        number = self._asked % len(self._buffers)
        if self._crossing is not None:
            self._crossing.wait_for(self._buffers[number])
        buffer = self._buffers[number].numpy()
        rows = self._order[self._asked]
        self._waiting.append((number, self._reader.submit(self._rows.take, rows, buffer)))
        self._asked += 1


class _Crossing:
    """From pinned buffers to a batch on the GPU, beside what the GPU is doing."""

    def __init__(self, batch: Tensor) -> None:
        self._batch, self._landing = batch, torch.zeros_like(batch)
        self._stream, self._left = torch.cuda.Stream(batch.device), torch.cuda.Event()
        self._arrived: dict[int, torch.cuda.Event] = {}

    def send(self, buffer: Tensor) -> None:
        """Copy a buffer to the batch, behind the work that has been given to the GPU so far."""
        current = torch.cuda.current_stream(self._batch.device)
        arrived = self._arrived.setdefault(buffer.data_ptr(), torch.cuda.Event())
        # An event that was never recorded holds nobody up.
        self._stream.wait_event(self._left)
        with torch.cuda.stream(self._stream):
            self._landing.copy_(buffer, non_blocking=True)
            arrived.record(self._stream)
        current.wait_event(arrived)
        self._batch.copy_(self._landing)
        self._left.record(current)

    def wait_for(self, buffer: Tensor) -> None:
        """Wait until a buffer has been copied and can be filled again."""
        if (arrived := self._arrived.get(buffer.data_ptr())) is not None:
            arrived.synchronize()
