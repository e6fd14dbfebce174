"""What another seed changes, against what the confirmed trials differ by."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from records.trial import TrialRecord
from reports.numbers.base import Numbers


class Candidate(Numbers):
    """A trial that was trained again with fresh seeds."""

    number: int
    searched: float | None
    """Validation accuracy in the search."""

    confirmed: tuple[float, ...]
    """Validation accuracy per fresh seed."""

    mean: float
    std: float | None
    """Sample standard deviation; None for a single seed."""

    @property
    def n(self) -> int:
        """How many seeds the mean is of."""
        return len(self.confirmed)


class Seeds(Numbers):
    """All candidates, best mean first, and the spread among their seeds."""

    candidates: tuple[Candidate, ...]
    spread: float | None
    """Pooled sample standard deviation over seeds; None without two seeds of one trial."""

    lead: float | None
    """How far the best mean is ahead of the second; None with one candidate."""

    needed: float | None
    """The smallest lead that a t-test at 95 % could tell from luck; None without a spread."""


def seeds(confirmed: Mapping[int, Sequence[float]], trials: Sequence[TrialRecord]) -> Seeds:
    """Hold the spread over seeds against the differences between candidates."""
    searched = {t.number: t.result for t in trials}
    found = [_candidate(n, searched.get(n), runs) for n, runs in confirmed.items() if runs]
    found.sort(key=lambda candidate: -candidate.mean)
    spread, freedom = _pooled([c.confirmed for c in found])
    lead = found[0].mean - found[1].mean if len(found) > 1 else None
    needed = None
    if spread is not None and lead is not None:
        error = spread * math.sqrt(1 / found[0].n + 1 / found[1].n)
        needed = error * _t_quantile(freedom)
    return Seeds(candidates=tuple(found), spread=spread, lead=lead, needed=needed)


def _candidate(number: int, searched: float | None, runs: Sequence[float]) -> Candidate:
    return Candidate(
        number=number,
        searched=searched,
        confirmed=tuple(runs),
        mean=float(np.mean(runs)),
        std=float(np.std(runs, ddof=1)) if len(runs) > 1 else None,
    )


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """The standard deviation within the groups, and its degrees of freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 1:
        return None, 0
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    return math.sqrt(squares / freedom), freedom


def _t_quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
