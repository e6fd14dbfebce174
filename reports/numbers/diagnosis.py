"""Whether the search can be trusted: early results against late ones, luck against a lead."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy

from records.statistics import Spread
from records.trial import TrialRecord, finite, ranked
from reports.numbers import Numbers

_LEADERS = 5  # How many of the best trials are held against the pruning threshold.


class Early(Numbers):
    """How well the order after one epoch tells the final order, over `n` complete trials.

    Attributes:
        correlation: Spearman's rank correlation in [-1, 1]; None if all values are equal.
        swapped: Share of all pairs whose first one ended behind; ties count half.
        leader_rank: The rank, in the end, of the trial that led after this epoch; 1 = it won.
        winner_rank: The rank, after this epoch, of the trial that won in the end.
    """

    epoch: int
    n: int
    correlation: float | None
    swapped: float
    leader_rank: int
    winner_rank: int


class Audit(Numbers):
    """What came of `n` trials that were finished although the pruner would have stopped them.

    Attributes:
        won: How many ended above the best of all others.
        behind: How far the best of them ended behind that one; None without a result to compare.
    """

    n: int
    won: int
    behind: float | None


class Pruning(Numbers):
    """Early against final accuracy.

    Attributes:
        early: Epoch by epoch, without the last.
        first_check: At the first pruning check; None without one, or if too few are complete.
        below_threshold: Leading trials that were below today's threshold at a pruning check.
        leaders: How many leading trials were held against it.
        overtaken: Share of the pruning checks whose leader did not win; None without a check.
        audit: What pruning lost; None without audited trials.
    """

    early: tuple[Early, ...]
    first_check: Early | None
    below_threshold: int
    leaders: int
    overtaken: float | None
    audit: Audit | None = None


class Candidate(Numbers):
    """The validation accuracies of a trial: in the search, and again with fresh seeds."""

    number: int
    searched: float | None
    confirmed: tuple[float, ...]
    mean: float
    std: float | None

    @property
    def n(self) -> int:
        """How many seeds the mean is of."""
        return len(self.confirmed)

    @property
    def gap(self) -> float | None:
        """What the search claimed above the mean."""
        return None if self.searched is None else self.searched - self.mean


class Seeds(Numbers):
    """All candidates, best mean first, and the spread among their seeds.

    Attributes:
        spread: Pooled sample standard deviation over seeds; None without two of one trial.
        lead: How far the best mean is ahead of the second; None with one candidate.
        needed: The smallest lead that a t-test at 95 % tells from luck; None without a spread.
    """

    candidates: tuple[Candidate, ...]
    spread: float | None
    lead: float | None
    needed: float | None


def pruning(
    trials: Sequence[TrialRecord],
    checks: Sequence[int],
    thresholds: Mapping[int, float],
    epochs: int | None,
) -> Pruning:
    """Hold early results against late ones, of complete trials, since only they have an end.

    The pruner checks trials after `checks`; each epoch has its threshold, a training `epochs`.
    """
    complete = ranked(trials)
    last = epochs or max((max(t.curve, default=0) for t in complete), default=0)
    found = [early for e in range(1, last) if (early := _early(complete, e)) is not None]
    checked = [early for early in found if early.epoch in checks]
    leaders = complete[:_LEADERS] if thresholds and checks else []
    return Pruning(
        early=tuple(found),
        first_check=checked[0] if checked else None,
        below_threshold=sum(_ever_below(t, checks, thresholds) for t in leaders),
        leaders=len(leaders),
        overtaken=sum(e.leader_rank > 1 for e in checked) / len(checked) if checked else None,
        audit=audit(trials),
    )


def audit(trials: Sequence[TrialRecord]) -> Audit | None:
    """Hold the trials that were finished although they would have been pruned against the others.

    Those that were pruned for another reason later have not won.
    """
    audited = [t for t in trials if t.audited is not None and t.tried]
    if not audited:
        return None
    results = [t.result for t in ranked(audited) if t.result is not None]
    best = next((t.result for t in ranked(t for t in trials if t.audited is None)), None)
    if best is None:
        return Audit(n=len(audited), won=len(results), behind=None)
    won = sum(result > best for result in results)
    return Audit(n=len(audited), won=won, behind=best - results[0] if results else None)


def _early(complete: Sequence[TrialRecord], epoch: int) -> Early | None:
    """None with fewer than three trials that have a finite value in that epoch."""
    both = [(t.curve[epoch], t.result) for t in complete if finite(t.curve.get(epoch)) is not None]
    if len(both) < 3:
        return None
    now, final = np.array(both, dtype=np.float64).T
    first, second = np.triu_indices(len(now), 1)
    differ = np.ptp(now) > 0 and np.ptp(final) > 0
    order = np.sign(now[first] - now[second]) * np.sign(final[first] - final[second])
    return Early(
        epoch=epoch, n=len(both),
        correlation=float(scipy.stats.spearmanr(now, final)[0]) if differ else None,
        swapped=float(((1 - order) / 2).mean()),
        leader_rank=1 + int((final > final[now.argmax()]).sum()),
        winner_rank=1 + int((now > now[final.argmax()]).sum()),
    )  # fmt: skip


def _ever_below(
    trial: TrialRecord, checks: Sequence[int], thresholds: Mapping[int, float]
) -> bool:
    """As the pruner has it: the best value so far against the threshold."""
    values = {e: v for e, v in trial.curve.items() if finite(v) is not None}
    return any(
        max((v for e, v in values.items() if e <= check), default=-np.inf) < thresholds[check]
        for check in checks
        if check in thresholds
    )


def seeds(confirmed: Mapping[int, Sequence[float]], trials: Sequence[TrialRecord]) -> Seeds:
    """Hold the spread over seeds against the differences between candidates."""
    searched = {t.number: t.result for t in trials}
    found = [
        Candidate(
            number=n, searched=searched.get(n), confirmed=tuple(runs),
            mean=Spread.of(runs).mean, std=Spread.of(runs).std,
        )
        for n, runs in confirmed.items()
        if runs
    ]  # fmt: skip
    found.sort(key=lambda candidate: -candidate.mean)
    freedom = sum(c.n - 1 for c in found)
    squares = sum((c.n - 1) * c.std**2 for c in found if c.std is not None)
    spread = math.sqrt(squares / freedom) if freedom else None
    lead = found[0].mean - found[1].mean if len(found) > 1 else None
    needed = None
    if spread is not None and lead is not None:
        error = spread * math.sqrt(1 / found[0].n + 1 / found[1].n)
        needed = error * float(scipy.stats.t.ppf(0.975, freedom))
    return Seeds(candidates=tuple(found), spread=spread, lead=lead, needed=needed)
