"""How long a worker may be silent while it trains: one that hangs tells nobody that it does."""

import math
from dataclasses import dataclass

# Seconds that every training may be silent: it may have to compile, or to load what it needs.
SHORTEST = 600.0
# The same beyond a trial's own limit, which validation and a busy machine do not count towards.
GRACE = 30.0
# How many times the longest silence so far: another trial's network may be larger.
FACTOR = 10.0
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
        """Seconds of silence within a training after which its worker hangs."""
        by_signs = math.inf if self.longest is None else max(SHORTEST, FACTOR * self.longest)
        if self.timeout is None:
            return by_signs
        by_rule = self.timeout + max(self.timeout, GRACE) + (SHORTEST if self.compiles else 0)
        return min(by_signs, by_rule)

    def heard(self, after: float) -> None:
        """A training gave a sign after so many seconds."""
        self.longest = max(after, self.longest or 0.0)


def awake(seconds: float) -> float:
    """What counts of the time since the last look.

    A process that was stopped, or a machine that was suspended, has not listened meanwhile.
    """
    return min(seconds, _LOOK)
