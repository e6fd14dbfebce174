"""What a search cost, and what pruning saved."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from records.trial import TrialRecord
from reports.numbers.base import Numbers


class Cost(Numbers):
    """What the trials of a search cost; a trial that was run again counts once."""

    counts: dict[str, int]
    """How many trials stand how."""

    done: int
    """Trials that count towards the total: complete ones and all kinds of pruned ones."""

    total: int | None
    """Trials that the study should end with."""

    trial_seconds: float
    """Wall time of all trials together."""

    busy_seconds: float
    """Wall time in which at least one trial was running: pauses between sessions do not count."""

    epochs: int
    """Epochs that were trained and reported."""

    full_epochs: int | None
    """Epochs that the trials which ended would have taken without pruning; None if unknown."""

    images: int
    """Training images seen, with repetition, by the trials that ended."""

    @property
    def pruned_share(self) -> float | None:
        """Share of the trials done that were pruned for whatever reason; None before the first."""
        return 1 - self.counts.get("complete", 0) / self.done if self.done else None

    @property
    def epochs_saved(self) -> float | None:
        """Share of the full epochs that pruning saved; None before the first trial."""
        return max(0.0, 1 - self.epochs / self.full_epochs) if self.full_epochs else None


_NOT_DONE = ("failed", "running", "waiting", "requeued")


def cost(trials: Sequence[TrialRecord], total: int | None, epochs: int | None) -> Cost:
    """What the trials cost.

    Args:
        trials: All trials.
        total: Trials that the study should end with.
        epochs: Epochs of a full training.
    """
    counts = Counter((t.kind for t in trials))
    done = [t for t in trials if t.kind not in _NOT_DONE]
    spans = [(t.started, t.ended) for t in trials if t.started and t.ended]
    counted = [t for t in trials if t.state != "requeued"]
    return Cost(
        counts=dict(counts),
        done=len(done),
        total=total,
        trial_seconds=sum(t.seconds or 0.0 for t in trials),
        busy_seconds=sum((end - begin).total_seconds() for begin, end in union(spans)),
        epochs=sum(len(t.curve) for t in done),
        full_epochs=len(done) * epochs if epochs else None,
        images=int(sum(n or 0 for t in counted for n in t.history.get("images", []))),
    )


def union(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The spans of time that at least one of these covers, in order."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def busy_until(spans: Sequence[tuple[datetime, datetime]], moment: datetime) -> float:
    """Seconds up to a moment that the spans cover; they must not overlap."""
    passed = timedelta()
    for begin, end in spans:
        passed += max(timedelta(), min(end, moment) - begin)
    return passed.total_seconds()
