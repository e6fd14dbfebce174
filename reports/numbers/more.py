"""Whether more trials would pay: what the last ones brought, against chance and against noise."""

from collections.abc import Sequence

import numpy as np

from records.trial import TrialRecord
from reports.numbers.base import Numbers, best_so_far


class More(Numbers):
    """How the best grew, trial by trial, over those that are complete or pruned."""

    best: tuple[float | None, ...]
    """The best complete trial so far, trial by trial."""

    by_chance: tuple[float, ...]
    """What the best of the first k would be on average, had the same trials come in random
    order."""

    last_gain: float | None
    """What the second half of the trials added to the best; None with fewer than ten."""

    by_chance_gain: float | None
    """The same in random order: what as many more of the same kind would have brought at most."""


def more(trials: Sequence[TrialRecord]) -> More:
    """How the best grew. Pruned trials count as trials that did not become the best."""
    done = [t for t in trials if t.state in ("complete", "pruned")]
    values = [t.result for t in done]
    best, chance = best_so_far(values), expected_best(values)
    half = len(done) // 2
    enough = len(done) >= 10 and best[half - 1] is not None
    return More(
        best=tuple(best),
        by_chance=tuple(chance),
        last_gain=(best[-1] or 0.0) - (best[half - 1] or 0.0) if enough else None,
        by_chance_gain=chance[-1] - chance[half - 1] if enough else None,
    )


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
