"""Ctrl-C and SIGTERM: the first time come to an end, the second time stop at once."""

import signal
from multiprocessing.synchronize import Event as EventType
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Self


class StopNow(BaseException):
    """Somebody asked a second time."""


class Interrupts:
    """While entered, the first signal sets an event, and the second raises `StopNow`.

    Outside the main thread, where Python allows no handlers, it does nothing.

    Attributes:
        signal: Number of the signal that came; None = none.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, stop: EventType) -> None:
        """Remember what to set."""
        self._stop = stop
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        if current_thread() is main_thread():
            self._before = {n: signal.signal(n, self._received) for n in self._SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise StopNow
        self.signal = number
        self._stop.set()
