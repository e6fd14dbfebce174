"""The trials of a search: results, learning curves, and who ran what when."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import count

import numpy as np

from records.outcome import State
from records.trial import TrialRecord, finite
from reports.numbers import Numbers, best_so_far


class Point(Numbers):
    """One trial that ended or was pruned.

    Attributes:
        value: Validation accuracy: the result of a complete trial, the last one of another.
        best: The best complete trial up to this one.
        method: What it trained: `full`, `probe` or `fine_tune`.
        note: Where it comes from, and whether the pruner would have stopped it, in words.
    """

    number: int
    kind: str
    method: str = "full"
    note: str = ""
    value: float | None
    best: float | None


class Curve(Numbers):
    """Validation accuracy of one trial by epoch, counted from 1; None where it was not finite."""

    number: int
    kind: str
    epochs: tuple[int, ...]
    values: tuple[float | None, ...]


class Threshold(Numbers):
    """The pruning threshold after one epoch, as `n` complete trials set it now."""

    epoch: int
    value: float
    n: int


class Curves(Numbers):
    """All learning curves, and what the pruner holds them against.

    Attributes:
        thresholds: Empty if the pruner has no such threshold, or nothing is complete.
        checks: Epochs after which the pruner checks a trial.
    """

    curves: tuple[Curve, ...]
    thresholds: tuple[Threshold, ...]
    threshold_name: str
    checks: tuple[int, ...]


class Bar(Numbers):
    """One trial on the time line; its lane is counted from 0."""

    number: int
    kind: str
    lane: int
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return (self.end - self.start).total_seconds()


class Timeline(Numbers):
    """Who ran what when: the names of the lanes, and the trials on them."""

    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]


def history(trials: Sequence[TrialRecord]) -> tuple[Point, ...]:
    """The trials that ended, by number; those that were requeued count under a later number."""
    ended = [t for t in trials if t.tried or t.state == State.FAILED]
    best = best_so_far([t.result for t in ended])
    return tuple(
        Point(
            number=t.number, kind=t.kind, value=_last_value(t), best=b, method=t.method,
            note=_note(t),
        )
        for t, b in zip(ended, best, strict=True)
    )  # fmt: skip


def _note(trial: TrialRecord) -> str:
    said = [str(trial.origin)] if trial.origin else []
    if trial.audited is not None:
        said.append(f"would have been pruned after epoch {trial.audited}")
    return ", ".join(said)


def _last_value(trial: TrialRecord) -> float | None:
    if trial.state == State.COMPLETE:
        return trial.result
    reported = [v for _, v in sorted(trial.curve.items()) if finite(v) is not None]
    return reported[-1] if reported else None


def alike(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those that a pruner holds against each other: of one method and length, the most common one.

    Probes are left out of a study with several: they have one epoch, and end with it.
    """
    kinds = Counter(_length(t) for t in trials if t.config and t.state != State.REQUEUED)
    others = [(n, kind) for kind, n in kinds.items() if kind[0] != "probe"]
    if len(kinds) < 2 or not others:
        return list(trials)
    _, most = max(others)
    return [t for t in trials if t.config and _length(t) == most]


def _length(trial: TrialRecord) -> tuple[str, int]:
    return trial.method, int((trial.config or {}).get("epochs", 0))


def curves(
    trials: Sequence[TrialRecord], epochs: int | None, pruner: str, keep: float, prune_after: float
) -> Curves:
    """The curves of all trials that reported anything, and when the pruner checked them.

    Without `epochs` of a full training, as many as the longest curve has. A trial must be among
    the best share `keep`; `prune_after` is the share of the epochs between two checks.
    """
    shown = [t for t in trials if t.curve and t.state != State.REQUEUED]
    compared = alike(shown)
    checked = pruner in ("median", "percentile")
    if len(compared) < len(shown):
        epochs = None  # Not all trials have as many.
        # A probe is one point, of no curve.
        shown = [t for t in shown if t.method != "probe"]
    epochs = epochs or max((max(t.curve) for t in compared), default=0)
    quantile = 0.5 if pruner == "median" else 1 - keep
    which = "median" if pruner == "median" else f"{1 - keep:.0%} quantile"
    return Curves(
        curves=tuple(map(_curve, shown)),
        thresholds=thresholds(compared, quantile) if checked else (),
        threshold_name=f"{which} of the complete trials",
        checks=pruning_checks(prune_after, epochs) if checked else (),
    )


def pruning_checks(prune_after: float, epochs: int) -> tuple[int, ...]:
    """The epochs after which `median` and `percentile` check a trial; it ends in the last."""
    quiet = max(1, round(prune_after * epochs))
    return tuple(range(quiet + 1, epochs, quiet))


def thresholds(trials: Sequence[TrialRecord], quantile: float) -> tuple[Threshold, ...]:
    """The quantile of the complete trials' accuracy after each epoch.

    Values that are not finite are left out, as Optuna does.
    """
    by_epoch: dict[int, list[float]] = {}
    for trial in trials:
        for epoch, value in trial.curve.items() if trial.state == State.COMPLETE else ():
            if finite(value) is not None:
                by_epoch.setdefault(epoch, []).append(value)
    return tuple(
        Threshold(epoch=epoch, value=float(np.quantile(values, quantile)), n=len(values))
        for epoch, values in sorted(by_epoch.items())
    )


def _curve(trial: TrialRecord) -> Curve:
    epochs = tuple(sorted(trial.curve))
    values = tuple(finite(trial.curve[epoch]) for epoch in epochs)
    return Curve(number=trial.number, kind=trial.kind, epochs=epochs, values=values)


def timeline(trials: Sequence[TrialRecord], now: datetime) -> Timeline:
    """Who ran what when, up to now; processes of one host that never met share a lane."""
    started = [(t, t.worker, t.started, t.ended or now) for t in trials if t.worker and t.started]
    spans: dict[str, tuple[datetime, datetime]] = {}
    for _, worker, begin, end in started:
        first, last = spans.get(worker, (begin, end))
        spans[worker] = min(first, begin), max(last, end)
    lane_of = _lanes(spans)
    lanes = sorted(set(lane_of.values()))
    several = len({host for host, _ in lanes}) > 1
    names = (f"{host}, worker {s + 1}" if several else f"worker {s + 1}" for host, s in lanes)
    bars = (
        Bar(number=t.number, kind=t.kind, lane=lanes.index(lane_of[worker]), start=begin, end=end)
        for t, worker, begin, end in started
    )
    return Timeline(lanes=tuple(names), bars=tuple(bars))


def _lanes(spans: dict[str, tuple[datetime, datetime]]) -> dict[str, tuple[str, int]]:
    """Worker -> its host, and the first slot there that is free from its first trial on."""
    lanes: dict[str, tuple[str, int]] = {}
    free_from: dict[tuple[str, int], datetime] = {}
    for worker, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        host = worker.rsplit(":", 1)[0]
        slots = ((host, number) for number in count())
        lanes[worker] = next(slot for slot in slots if free_from.get(slot, begin) <= begin)
        free_from[lanes[worker]] = end
    return lanes
