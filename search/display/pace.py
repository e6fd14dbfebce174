"""How often to look at a study, and how long the rest of it will take."""

import time

from search.display.counts import Counts

_INTERVAL = 5.0
"""Seconds between two looks when nothing happens here: others may be working too."""


class Pace:
    """Follows the trials of one session."""

    def __init__(self) -> None:
        """The session begins."""
        self._started = time.monotonic()
        self._ended = 0
        self._looked = 0.0
        self._news = True

    def ended(self) -> None:
        """A trial of this session ended."""
        self._ended += 1
        self._news = True

    def due(self) -> bool:
        """Whether to look: at once after a trial of this session, else every few seconds."""
        now = time.monotonic()
        if not self._news and now - self._looked < _INTERVAL:
            return False
        self._news, self._looked = False, now
        return True

    def seconds_left(self, counts: Counts) -> float | None:
        """Time to the last trial, from those that ended so far; None before the first one."""
        if not self._ended:
            return None
        each = (time.monotonic() - self._started) / self._ended
        return each * (counts.total - counts.done)
