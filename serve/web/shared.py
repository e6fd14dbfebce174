"""What the processes of the service share: limits that hold for all of them together."""

import mmap
import threading
import time


class Budget:
    """An amount that all processes together may hold.

    Made before they are forked, it lies in memory that all of them see. Each process writes to a
    row of its own, so that the next one in its row can give back what a killed one still held.
    """

    def __init__(self, rows: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, 8 * rows)).cast("q")
        self._lock = threading.Lock()
        self.row = 0  # That of this process.

    @property
    def held(self) -> int:
        """By all processes."""
        return sum(self._memory)

    def take(self, amount: int, most: int) -> bool:
        """Hold so much more, unless that makes more than `most`; returns whether it is held.

        What nobody else stands in the way of is always given, however much it is.
        """
        self._add(amount)
        # It was added first: two that come at once may both be refused, but never both let in.
        held = self.held
        if held <= most or held == amount:
            return True
        self._add(-amount)
        return False

    def wait(self, amount: int, most: int, seconds: float) -> bool:
        """Try to `take` it for so long, but once at least."""
        end = time.monotonic() + seconds
        while not self.take(amount, most):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def give_back(self, amount: int) -> None:
        """Hold so much less."""
        self._add(-amount)

    def forget(self, row: int) -> None:
        """Give back whatever a process held."""
        self._memory[row] = 0

    def _add(self, amount: int) -> None:
        with self._lock:
            self._memory[self.row] += amount


class Shared:
    """The budgets of a service.

    Attributes:
        buffered: Bytes of requests that were received and not answered yet.
        pixels: Pixels of large pictures that are being decoded.
    """

    def __init__(self, processes: int = 1) -> None:
        self.buffered, self.pixels = Budget(processes), Budget(processes)

    def enter(self, row: int) -> None:
        """From here on, this process and those forked from it count in this row.

        Whoever counted there before is no more: what it held is given back.
        """
        for budget in (self.buffered, self.pixels):
            budget.row = row
            budget.forget(row)
