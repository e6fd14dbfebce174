"""What a search cost, and what it brought: trials, time, epochs, and how the best grew."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from records.outcome import State
from records.trial import TrialRecord
from reports.numbers import Numbers, best_so_far
from studies.broker.plateau import Gain, gain, results_of


class Cost(Numbers):
    """What the trials of a search cost; a trial that was run again counts once.

    Attributes:
        counts: How many trials stand how.
        done: Trials that count towards the total: complete ones and all kinds of pruned ones.
        busy_seconds: Wall time in which at least one trial was running, without pauses.
        full_epochs: What the trials done would have taken without pruning; None if unknown.
        images: Training images seen, with repetition, by the trials that ended.
    """

    counts: dict[str, int]
    done: int
    total: int | None
    trial_seconds: float
    busy_seconds: float
    epochs: int
    full_epochs: int | None
    images: int

    @property
    def pruned_share(self) -> float | None:
        """Share of the trials done that were pruned for whatever reason; None before the first."""
        return 1 - self.counts.get("complete", 0) / self.done if self.done else None

    @property
    def epochs_saved(self) -> float | None:
        """Share of the full epochs that pruning saved; None before the first trial."""
        return max(0.0, 1 - self.epochs / self.full_epochs) if self.full_epochs else None


class Step(Numbers):
    """The study after one more trial ended, complete or pruned: all so far, without pauses."""

    trials: int
    seconds: float
    epochs: int
    best: float | None


class More(Numbers):
    """How the best grew, trial by trial, over those that are complete or pruned.

    Attributes:
        by_chance: Mean of the best of the first k over all orders of the same trials.
        last_gain: What the second half of the trials added; None with fewer than ten.
        by_chance_gain: The same in random order: what as many more would have brought at most.
        gain: What more trials are expected to bring; None while that cannot be told.
    """

    best: tuple[float | None, ...]
    by_chance: tuple[float, ...]
    last_gain: float | None
    by_chance_gain: float | None
    gain: Gain | None = None


def cost(trials: Sequence[TrialRecord], total: int | None, epochs: int | None) -> Cost:
    """What the trials cost; `total` of them should end the study, a full one takes `epochs`."""
    trials = [t for t in trials if not t.taken_over]  # Another study has paid for those.
    done = [t for t in trials if t.done]
    counted = [t for t in trials if t.state != State.REQUEUED]
    return Cost(
        counts=dict(Counter(t.kind for t in trials)), done=len(done), total=total,
        trial_seconds=sum(t.seconds or 0.0 for t in trials),
        busy_seconds=sum((end - begin).total_seconds() for begin, end in busy_spans(trials)),
        epochs=sum(len(t.curve) for t in done),
        full_epochs=sum((t.config or {}).get("epochs", epochs) for t in done) if epochs else None,
        images=int(sum(n or 0 for t in counted for n in t.history.get("images", []))),
    )  # fmt: skip


def course(trials: Sequence[TrialRecord]) -> tuple[Step, ...]:
    """How the best of a study grew, by trials, by time and by epochs."""
    done = [(t.ended, t) for t in trials if t.done and t.ended]
    done.sort(key=lambda pair: (pair[0], pair[1].number))
    best = best_so_far([t.result for _, t in done])
    spans = busy_spans([t for t in trials if not t.taken_over])
    epochs, steps = 0, []
    for place, (ended, trial) in enumerate(done):
        epochs += len(trial.curve)
        seconds = round(busy_until(spans, ended), 3)
        steps.append(Step(trials=place + 1, seconds=seconds, epochs=epochs, best=best[place]))
    return tuple(steps)


def busy_spans(trials: Sequence[TrialRecord]) -> list[tuple[datetime, datetime]]:
    """The spans of time, in order, in which at least one trial that has ended was running."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted((t.started, t.ended) for t in trials if t.started and t.ended):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def busy_until(spans: Sequence[tuple[datetime, datetime]], moment: datetime) -> float:
    """Seconds up to a moment that the spans cover; they must not overlap."""
    passed = (max(timedelta(), min(end, moment) - begin) for begin, end in spans)
    return sum(passed, timedelta()).total_seconds()


def more(trials: Sequence[TrialRecord]) -> More:
    """Whether more trials would pay. Pruned trials count as trials that are not the best."""
    values = [t.result for t in trials if t.tried]
    best, chance = best_so_far(values), expected_best(values)
    half = len(values) // 2
    enough = len(values) >= 10 and best[half - 1] is not None
    return More(
        best=tuple(best), by_chance=tuple(chance),
        last_gain=(best[-1] or 0.0) - (best[half - 1] or 0.0) if enough else None,
        by_chance_gain=chance[-1] - chance[half - 1] if enough else None,
        gain=gain(results_of(trials)),
    )  # fmt: skip


def expected_best(values: Sequence[float | None]) -> list[float]:
    """The mean of the best of the first k values over all orders, for every k.

    A value without a result never is the best: it counts as the lowest one that there is.
    """
    known = sorted(v for v in values if v is not None)
    if not known:
        return []
    rising = np.array([known[0]] * (len(values) - len(known)) + known)
    n = len(rising)
    # within[i]: the chance that k drawn without replacement are all among the i lowest, which is
    # C(i, k) / C(n, k); its steps are the chances that each value is the highest drawn.
    found, within, i = [], np.ones(n + 1), np.arange(n + 1)
    for k in range(1, n + 1):
        within = within * np.clip(i - k + 1, 0, None) / (n - k + 1)
        found.append(float((np.diff(within) * rising).sum()))
    return found
