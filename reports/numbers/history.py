"""The trials in the order of the search: results, the best so far, and who ran what when."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from records.trial import TrialRecord, finite
from reports.numbers.base import Numbers, best_so_far


class Point(Numbers):
    """One trial that ended or was pruned."""

    number: int
    kind: str
    value: float | None
    """Validation accuracy: the result of a complete trial, the last one of another."""

    best: float | None
    """The best complete trial up to this one."""


class Bar(Numbers):
    """One trial on the time line."""

    number: int
    kind: str
    lane: int
    """Which worker, counted from 0: the rank of its lane."""

    start: datetime
    end: datetime


class Timeline(Numbers):
    """Who ran what when."""

    lanes: tuple[str, ...]
    """What each lane is called."""

    bars: tuple[Bar, ...]


def history(trials: Sequence[TrialRecord]) -> tuple[Point, ...]:
    """The trials that ended, by number; those that were handed back count under a later number."""
    ended = [t for t in trials if t.state in ("complete", "pruned", "failed")]
    best = best_so_far([t.result for t in ended])
    return tuple(
        Point(number=t.number, kind=t.kind, value=last_value(t), best=b)
        for t, b in zip(ended, best, strict=True)
    )


def last_value(trial: TrialRecord) -> float | None:
    """The result, or else the last finite accuracy that was reported."""
    if trial.state == "complete":
        return trial.result
    reported = [v for _, v in sorted(trial.curve.items()) if finite(v) is not None]
    return reported[-1] if reported else None


def timeline(trials: Sequence[TrialRecord], now: datetime) -> Timeline:
    """Who ran what when; processes of one host that never met share a lane.

    Args:
        trials: All trials.
        now: When the study was read, the end of trials that are running.
    """
    started = [t for t in trials if t.started is not None and t.worker is not None]
    lanes = _lanes(started, now)
    hosts = {worker.rsplit(":", 1)[0] for worker in lanes}
    named = sorted({(worker.rsplit(":", 1)[0], slot) for worker, slot in lanes.items()})
    place = {key: number for number, key in enumerate(named)}
    bars = [
        Bar(
            number=t.number,
            kind=t.kind,
            lane=place[str(t.worker).rsplit(":", 1)[0], lanes[str(t.worker)]],
            start=t.started,
            end=t.ended or now,
        )
        for t in started
        if t.started is not None
    ]
    names = (f"worker {s + 1}" if len(hosts) == 1 else f"{host}, worker {s + 1}"
             for host, s in named)  # fmt: skip
    return Timeline(lanes=tuple(names), bars=tuple(bars))


def _lanes(started: Sequence[TrialRecord], now: datetime) -> dict[str, int]:
    """Worker -> its slot on its host: the first one that is free from its first trial on."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for trial in started:
        begin, end = trial.started or now, trial.ended or now
        old = spans.get(str(trial.worker), (begin, end))
        spans[str(trial.worker)] = min(old[0], begin), max(old[1], end)
    slots: dict[str, int] = {}
    hosts = groupby(sorted(spans, key=lambda w: (_host(w), spans[w])), key=_host)
    for _, workers in hosts:
        free_from: list[datetime] = []
        for worker in workers:
            begin, end = spans[worker]
            free = [slot for slot, until in enumerate(free_from) if until <= begin]
            slots[worker] = free[0] if free else len(free_from)
            free_from[slots[worker] : slots[worker] + 1] = [end]
    return slots


def _host(worker: str) -> str:
    return worker.rsplit(":", 1)[0]
