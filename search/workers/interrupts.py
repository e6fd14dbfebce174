"""Ctrl-C and SIGTERM: the first time come to an end, the second time stop at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawValue
from threading import current_thread, main_thread
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopNow(BaseException):
    """Somebody asked a second time, or there is nothing to come to an end with."""


class StopFlag:
    """Asks all processes of a search to come to an end.

    Setting and reading take no lock, unlike with an `Event`: it is set in a signal handler, and
    whoever the signal interrupts may be in the middle of reading it.
    """

    def __init__(self) -> None:
        self._value = RawValue("b", 0)

    def is_set(self) -> bool:
        """Whether everybody is asked to come to an end."""
        return bool(self._value.value)

    def set(self) -> None:
        """Ask everybody."""
        self._value.value = 1


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Keep signals until the end of the block; a process started in it never gets any.

    Ctrl-C goes to every process of a terminal, and in its first moments a new one would die of it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Not on Windows.
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class Interrupts:
    """Number of the signal that came; None = none."""

    signal: int | None = None


@contextmanager
def interruptible(stop: StopFlag) -> Iterator[Interrupts]:
    """In the block, the first signal sets the flag, and the second raises `StopNow`.

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
