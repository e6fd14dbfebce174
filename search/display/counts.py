"""Where a study stands, in numbers."""

from dataclasses import dataclass

from records.outcome import State
from records.trial import TrialRecord, ranked


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
