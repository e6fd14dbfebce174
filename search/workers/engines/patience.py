"""How long a worker may be silent while it trains: one that hangs tells nobody that it does."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from records.trial import TrialRecord

# Seconds that every training may be silent: it may have to compile, or to load what it needs.
SHORTEST = 600.0
# The same beyond a trial's own limit, which validation, a busy machine and a locked database (that
# is waited for during half of this) do not count towards.
GRACE = 120.0
# How many times the longest silence so far, without a limit of the trial's own and beyond it.
FACTOR, BEYOND = 10.0, 3.0
# How many times longer a training may take for its first epoch: its network may be much larger
# than any before, and nobody knows yet how slow it is.
FIRST = 10.0
# Seconds at most between two looks: whoever was asleep for longer did not hear the signs.
_LOOK = 1.0


@dataclass
class Patience:
    """When to give a silent worker up.

    Attributes:
        timeout: Seconds after which a training is over time by the user's own rule; None = never.
        compiles: Whether a training may compile first, which that rule does not know of.
        longest: The longest silence between two signs of a training so far, in seconds; before
            the first one what an epoch is expected to take. None = not known: for ever.
    """

    timeout: float | None = None
    compiles: bool = False
    longest: float | None = None

    @property
    def limit(self) -> float:
        """Seconds of silence after which a worker hangs that has trained an epoch before."""
        return self._limit(1.0)

    @property
    def first_limit(self) -> float:
        """The same before the worker has trained an epoch of its training."""
        return self._limit(FIRST)

    def _limit(self, times: float) -> float:
        longest = math.inf if self.longest is None else self.longest
        by_signs = times * max(SHORTEST, FACTOR * longest)
        if self.timeout is None:
            return by_signs
        beyond = times * max(GRACE, BEYOND * (self.longest or 0.0))
        compiling = SHORTEST if self.compiles else 0.0
        return min(by_signs, self.timeout + max(self.timeout, beyond) + compiling)

    def after_trials(self, trials: Iterable[TrialRecord], host: str) -> None:
        """From now on nothing has a limit of its own.

        Before anything was heard, the epochs of trials that ended on this host tell how long one
        takes.
        """
        self.timeout = None
        if self.longest is None:
            here = [t for t in trials if t.worker and t.worker.rpartition(":")[0] == host]
            known = [s for t in here for s in t.history.get("seconds", ()) if s is not None]
            self.longest = max(known, default=None)

    def heard(self, after: float) -> None:
        """A training gave a sign after so many seconds."""
        self.longest = max(after, self.longest or 0.0)


def awake(seconds: float) -> float:
    """What counts of the time since the last look.

    A process that was stopped, or a machine that was suspended, has not listened meanwhile.
    """
    return min(seconds, _LOOK)
