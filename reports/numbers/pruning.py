"""Whether early results tell late ones: what a pruner lives on, and what it may have cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from records.trial import TrialRecord, finite, ranked
from reports.numbers.base import Numbers

LEADERS = 5
"""How many of the best trials are held against the bar."""


class Early(Numbers):
    """How well the order after one epoch tells the final order, over complete trials."""

    epoch: int
    n: int
    correlation: float | None
    """Spearman's rank correlation with the final accuracy, in [-1, 1]; None if all are equal."""

    swapped: float
    """Share of all pairs in which the trial that was ahead ended behind; ties count half."""

    leader_rank: int
    """The rank, in the end, of the trial that led after this epoch; 1 = it won."""

    winner_rank: int
    """The rank, after this epoch, of the trial that won in the end."""


class Pruning(Numbers):
    """Early against final accuracy, epoch by epoch, without the last."""

    early: tuple[Early, ...]
    look: Early | None
    """That of the pruner's first look; None if it does not look, or too few are complete."""

    under_bar: int
    """How many of the leading trials were, at a look, below the bar as it stands now."""

    leaders: int
    """How many leading trials were held against it."""

    overtaken: float | None
    """Share of the looks, over all of them, whose leader did not win; None without a look."""


def pruning(
    trials: Sequence[TrialRecord], looks: Sequence[int], bar: dict[int, float], epochs: int | None
) -> Pruning:
    """Hold early results against late ones.

    Args:
        trials: All trials; only complete ones are compared, since only they have an end.
        looks: Epochs after which the pruner looks.
        bar: Epoch -> the pruner's bar.
        epochs: Epochs of a full training.
    """
    complete = ranked(trials)
    last = epochs or max((max(t.curve, default=0) for t in complete), default=0)
    found = [early for e in range(1, last) if (early := _early(complete, e)) is not None]
    seen = [early for early in found if early.epoch in looks]
    leaders = complete[:LEADERS] if bar and looks else []
    return Pruning(
        early=tuple(found),
        look=seen[0] if seen else None,
        under_bar=sum(_ever_under(t, looks, bar) for t in leaders),
        leaders=len(leaders),
        overtaken=sum(e.leader_rank > 1 for e in seen) / len(seen) if seen else None,
    )


def _early(complete: Sequence[TrialRecord], epoch: int) -> Early | None:
    """None with fewer than three trials that have a finite value in that epoch."""
    both = [(t.curve[epoch], t.result) for t in complete if finite(t.curve.get(epoch)) is not None]
    if len(both) < 3:
        return None
    now, final = np.array(both, dtype=np.float64).T
    return Early(
        epoch=epoch,
        n=len(both),
        correlation=_rank_correlation(now, final),
        swapped=_swapped(now, final),
        leader_rank=1 + int((final > final[now.argmax()]).sum()),
        winner_rank=1 + int((now > now[final.argmax()]).sum()),
    )


def _rank_correlation(now: np.ndarray, final: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if np.ptp(now) == 0 or np.ptp(final) == 0:
        return None
    result: Any = spearmanr(now, final)
    return float(result.statistic)


def _swapped(now: np.ndarray, final: np.ndarray) -> float:
    first, second = np.triu_indices(len(now), 1)
    order = np.sign(now[first] - now[second]) * np.sign(final[first] - final[second])
    return float(((1 - order) / 2).mean())


def _ever_under(trial: TrialRecord, looks: Sequence[int], bar: dict[int, float]) -> bool:
    """As the rule has it: the best value so far against the bar."""
    values = {e: v for e, v in trial.curve.items() if finite(v) is not None}
    return any(
        max((v for e, v in values.items() if e <= look), default=-np.inf) < bar[look]
        for look in looks
        if look in bar
    )
