"""Ctrl-C and SIGTERM: the first time come to an end, the second time stop at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from types import FrameType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopNow(BaseException):
    """Somebody asked a second time, or there is nothing to come to an end with."""


class Stoppable(Protocol):
    """What can be asked to come to an end, also in the middle of anything."""

    def set(self) -> None:
        """Ask; it is called in a signal handler, so it may take no lock."""


@dataclass
class Interrupts:
    """Number of the signal that came; None = none."""

    signal: int | None = None


@contextmanager
def interruptible(stop: Stoppable) -> Iterator[Interrupts]:
    """In the block, the first signal sets `stop`, and the second raises `StopNow`.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """
    interrupts = Interrupts()

    def received(number: int, frame: FrameType | None) -> None:
        if interrupts.signal is not None:
            raise StopNow
        interrupts.signal = number
        stop.set()

    ours = SIGNALS if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, received) for number in ours}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
