"""Several processes that answer at one address, and one that looks after them.

One Python process computes on one core at a time. And the decoders of pictures are C code that
gets whatever people send: should a picture bring one down, only its process is gone, and another
takes its place.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

Ready = Callable[[], None]
Work = Callable[[int, Ready], int]

_LOG = logging.getLogger("serve")

_ENDS = (signal.SIGTERM, signal.SIGINT)
_PATIENCE = 8.0
"""Seconds for the last answers; containers are killed after ten."""


class Crew:
    """Keeps processes at work until it is told to end.

    The process that calls `run` must not have threads, since it forks.
    """

    def __init__(self, work: Work) -> None:
        """Take the work.

        Args:
            work: Runs in every process, until SIGTERM raises SystemExit in it. Gets the number of
                the process, from 0 on, and what to call when it answers; returns an exit code.
        """
        self._work = work
        self._numbers: dict[int, int] = {}
        # Closes when this process is gone, however that went.
        self._life, self._alive = os.pipe()

    def run(self, count: int, ready: Ready) -> int:
        """Start them and replace those that die.

        Args:
            count: How many.
            ready: Called when the first one answers.

        Returns:
            0 when it was told to end; else the exit code of a process that did not come to answer.
        """
        for end in _ENDS:
            signal.signal(end, lambda *_: sys.exit(0))
        try:
            for number in range(count):
                code = self._start(number)
                if code is not None:
                    return code
                if number == 0:
                    ready()
            return self._replace_forever()
        except SystemExit:
            return 0
        finally:
            self._end()

    def _start(self, number: int) -> int | None:
        """Start one and wait until it answers; its exit code, should it end before."""
        answers, tell = os.pipe()
        # Until it is on the list, and until it has handlers of its own, nothing may interrupt.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        process = os.fork()
        if process == 0:
            os.close(answers)
            self._be(number, lambda: os.close(tell) if os.write(tell, b"1") else None)
        self._numbers[process] = number
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        os.close(tell)
        with os.fdopen(answers, "rb") as pipe:
            if pipe.read(1):
                return None
        del self._numbers[process]
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _replace_forever(self) -> int:
        while True:
            process, status = os.wait()
            number = self._numbers.pop(process, None)
            if number is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            _LOG.error("process %d ended with %d; another takes its place", process, code)
            again = self._start(number)
            if again is not None:
                return again

    def _end(self) -> None:
        """Requests that are being answered get their answer."""
        for end in _ENDS:
            signal.signal(end, signal.SIG_IGN)
        for process in self._numbers:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        last = time.monotonic() + _PATIENCE
        for process in self._numbers:
            with suppress(ChildProcessError):
                while os.waitpid(process, os.WNOHANG) == (0, 0):
                    if time.monotonic() > last:
                        os.kill(process, signal.SIGKILL)
                    time.sleep(0.01)
        os.close(self._alive)
        os.close(self._life)

    def _be(self, number: int, ready: Ready) -> NoReturn:
        """What the new process does; it never comes back."""
        # A terminal sends Ctrl-C to every process; the first one decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        os.close(self._alive)
        threading.Thread(target=self._end_with_the_first, daemon=True).start()
        try:
            code = self._work(number, ready)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        # Nothing may unwind into what was running before the fork.
        except BaseException:  # noqa: BLE001
            _LOG.exception("process %d failed", os.getpid())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _end_with_the_first(self) -> None:
        os.read(self._life, 1)
        os._exit(1)
