"""How the best of a study grew, by trials, by time and by epochs, to hold studies side by side."""

from collections.abc import Sequence
from datetime import datetime

from records.trial import TrialRecord
from reports.numbers.base import Numbers, best_so_far
from reports.numbers.cost import busy_until, union


class Step(Numbers):
    """The study after one more trial, complete or pruned, in the order in which they ended."""

    trials: int
    seconds: float
    """Wall time in which trials were running; pauses between sessions do not count."""

    epochs: int
    best: float | None
    """None before the first complete trial."""


def course(trials: Sequence[TrialRecord]) -> tuple[Step, ...]:
    """The steps of a study."""
    done = [(t.ended, t) for t in trials if t.state in ("complete", "pruned") and t.ended]
    done.sort(key=lambda pair: (pair[0], pair[1].number))
    best = best_so_far([t.result for _, t in done])
    spans = union([(t.started, t.ended) for t in trials if t.started and t.ended])
    epochs, steps = 0, []
    for place, (ended, trial) in enumerate(done):
        epochs += len(trial.curve)
        steps.append(
            Step(
                trials=place + 1,
                seconds=_seconds(spans, ended),
                epochs=epochs,
                best=best[place],
            )
        )
    return tuple(steps)


def _seconds(spans: Sequence[tuple[datetime, datetime]], moment: datetime) -> float:
    return round(busy_until(spans, moment), 3)
