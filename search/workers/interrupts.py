"""What Ctrl-C and SIGTERM mean for the processes of a search."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawValue

from records.machine.interrupts import SIGNALS, Interrupts, StopNow, interruptible

__all__ = [
    "SIGNALS", "Interrupts", "StopFlag", "StopNow", "interruptible", "signals_held_back",
]  # fmt: skip


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
