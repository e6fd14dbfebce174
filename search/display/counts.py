"""Where a study stands, in numbers, and how long the rest of it will take."""

import time
from dataclasses import dataclass

from records.outcome import State
from records.trial import TrialRecord, ranked
from records.words import percent, values

_INTERVAL = 5.0
"""Seconds between two counts when nothing happens here: others may be working too."""


@dataclass(frozen=True)
class Counts:
    """How many trials a study has in each state, and the best one.

    Attributes:
        total: Trials that the study should end with.
        complete: Trials that trained to the end.
        pruned: Trials that were stopped by a rule, divergence or lack of memory.
        failed: Trials that a fault ended.
        running: Trials that somebody is training.
        best: The complete trial with the highest accuracy; None before the first one.
    """

    total: int
    complete: int
    pruned: int
    failed: int
    running: int
    best: TrialRecord | None

    @property
    def done(self) -> int:
        """Trials that count towards the total."""
        return self.complete + self.pruned

    def by_state(self) -> str:
        """The trials in each state, in words."""
        return (
            f"{self.complete} complete, {self.pruned} pruned, {self.failed} failed, "
            f"{self.running} running"
        )

    def best_so_far(self) -> str:
        """The best trial with its parameters, in words."""
        if self.best is None:
            return "no complete trial yet"
        accuracy = percent(self.best.accuracy)
        return f"{accuracy} (trial {self.best.number}: {values(self.best.params)})"


def count(trials: list[TrialRecord], total: int) -> Counts:
    """Count the trials of a study."""
    states = [trial.state for trial in trials]
    best = ranked(trials)[:1]
    return Counts(
        total=total,
        complete=states.count(State.COMPLETE),
        pruned=states.count(State.PRUNED),
        failed=states.count(State.FAILED),
        running=states.count(State.RUNNING),
        best=best[0] if best else None,
    )


class Pace:
    """Follows the trials of one session: when to count again, and how long the rest takes."""

    def __init__(self) -> None:
        """The session begins."""
        self._started = time.monotonic()
        self._ended = 0
        self._counted = 0.0
        self._news = True

    def ended(self) -> None:
        """A trial of this session ended."""
        self._ended += 1
        self._news = True

    def due(self) -> bool:
        """Whether to count: at once after a trial of this session, else every few seconds."""
        now = time.monotonic()
        if not self._news and now - self._counted < _INTERVAL:
            return False
        self._news, self._counted = False, now
        return True

    def seconds_left(self, counts: Counts) -> float | None:
        """Time to the last trial, from those that ended so far; None before the first one."""
        if not self._ended:
            return None
        each = (time.monotonic() - self._started) / self._ended
        return each * (counts.total - counts.done)
