"""What complete trainings of random points tell about a search: pure functions of their curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import comb
from scipy.stats import chi2, rankdata

FURTHEST = 8
"""How many times the trials that there are an extrapolation goes, at most."""
_DRAWS = 2000  # Of a bootstrap.


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Agreement(NamedTuple):
    """How well the scores after some epochs rank the last ones.

    Attributes:
        epoch: How many epochs.
        share: The same as a share of all epochs, in (0, 1].
        spearman: Rank correlation with the end.
        kendall: The same by pairs: tau-b.
        leading: How many of the leading points one must keep to keep the one that ends best.
    """

    epoch: int
    share: float
    spearman: Interval
    kendall: Interval
    leading: int


class Noise(NamedTuple):
    """What a seed changes.

    Attributes:
        sd: Standard deviation of the results of one point over seeds, pooled.
        degrees: Its degrees of freedom: trainings less points.
    """

    sd: Interval
    degrees: int


class Confirmation(NamedTuple):
    """What confirming the best few of a search costs and leaves.

    Attributes:
        top: How many are trained again.
        seeds: With how many seeds each; their mean decides.
        regret: By how much the chosen point is truly worse than the best one, on average.
    """

    top: int
    seeds: int
    regret: float

    @property
    def trainings(self) -> int:
        """What it costs."""
        return self.top * self.seeds


def at_shares(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Curves of any lengths as `(points, epochs)` with the epochs of the shortest one.

    A longer one is read at the same shares of its epochs.
    """
    epochs = min(len(curve) for curve in curves)
    shares = np.arange(1, epochs + 1) / epochs
    rows = [np.asarray(c)[np.ceil(shares * len(c) - 1e-9).astype(int) - 1] for c in curves]
    return np.array(rows, dtype=np.float64)


def agreements(scores: np.ndarray, seed: int = 0) -> list[Agreement]:
    """How well each epoch but the last ranks the end; intervals by a percentile bootstrap.

    Args:
        scores: `(points, epochs)`, at least 3 points.
        seed: Of the bootstrap.
    """
    count, epochs = scores.shape
    draws = np.random.default_rng(seed).integers(0, count, (_DRAWS, count))
    end, found = scores[:, -1], []
    for epoch in range(1, epochs):
        early = scores[:, epoch - 1]
        order = np.argsort(-early, kind="stable")
        found.append(
            Agreement(
                epoch,
                epoch / epochs,
                _interval(spearman, early, end, draws),
                _interval(kendall, early, end, draws),
                1 + int(np.argmax(order == np.argmax(end))),
            )
        )
    return found


def _interval(measure, x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> Interval:  # type: ignore[no-untyped-def]
    low, high = np.nanpercentile(measure(x[draws], y[draws]), [2.5, 97.5])
    return Interval(float(measure(x, y)), float(low), float(high))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rank correlations over the last axis; NaN where all values of one are equal."""
    ranks = [rankdata(values, axis=-1) for values in (x, y)]
    a, b = (r - r.mean(-1, keepdims=True) for r in ranks)
    return _ratio((a * b).sum(-1), (a * a).sum(-1) * (b * b).sum(-1))


def kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b over the last axis; NaN where all values of one are equal."""
    a, b = (np.sign(values[..., :, None] - values[..., None, :]) for values in (x, y))
    axes = (-2, -1)
    return _ratio((a * b).sum(axes), np.abs(a).sum(axes) * np.abs(b).sum(axes))


def _ratio(product: np.ndarray, squares: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(product / np.sqrt(squares))


def seed_noise(groups: Sequence[Sequence[float]]) -> Noise | None:
    """The pooled standard deviation over seeds, with its chi-squared interval.

    Args:
        groups: For every point, its results with different seeds.

    Returns:
        None if no point has two of them.
    """
    several = [np.asarray(group) for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in several)
    if not degrees:
        return None
    squares = float(sum(((group - group.mean()) ** 2).sum() for group in several))
    low, high = np.sqrt(squares / chi2.ppf([0.975, 0.025], degrees))
    return Noise(Interval(float(np.sqrt(squares / degrees)), float(low), float(high)), degrees)


def expected_best(ends: np.ndarray, trials: int) -> float:
    """The mean of the best of so many trials, drawn from these without replacement.

    The unbiased estimator of Tang et al., "Showing Your Work Doesn't Always Work", 2020.
    """
    count = len(ends)
    assert 1 <= trials <= count
    below = np.arange(count)  # How many results are not above each, in their order.
    chances = comb(below, trials - 1) / comb(count, trials)
    return float((np.sort(ends) * chances).sum())


def doublings(ends: np.ndarray) -> list[tuple[int, float]]:
    """Numbers of trials, each twice the one before and the last one all, and the expected best."""
    counts, count = [], len(ends)
    while count >= 1:
        counts.append(count)
        count //= 2
    return [(n, expected_best(ends, n)) for n in reversed(counts)]


def trials_that_pay(ends: np.ndarray, least: float) -> int:
    """After how many trials doubling them would bring less than `least`.

    Beyond the trials that there are, every doubling is taken to bring the same share of the one
    before as the last two that were seen, between a half and nine tenths: an extrapolation, which
    ends at eight times as many.
    """
    known = doublings(ends)
    gains = np.diff([best for _, best in known])
    for (count, _), gain in zip(known, gains, strict=False):
        if gain < least and count >= len(ends) // 2:
            return count
    if len(gains) < 2:
        return len(ends)
    share = min(max(gains[-1] / max(gains[-2], 1e-12), 0.5), 0.9)
    count, gain = len(ends), gains[-1] * share
    while gain >= least and count < FURTHEST * len(ends):
        count, gain = 2 * count, gain * share
    return count


def confirmations(
    ends: np.ndarray, noise: float, trials: int, searches: int = 4000, seed: int = 0
) -> list[Confirmation]:
    """Simulated searches, each followed by a confirmation of each kind.

    True results are drawn from those seen, drawn together by the share of their variance that is
    noise, and blurred (a smoothed bootstrap); every training adds normal noise.

    Args:
        ends: `(points,)` results of the points, one training each.
        noise: Standard deviation over seeds.
        trials: Trials of the simulated searches.
        searches: How many are simulated.
        seed: Of all that is drawn.
    """
    random = np.random.default_rng(seed)
    spread = float(ends.std(ddof=1))
    shrunk = np.sqrt(max(0.0, 1 - (noise / spread) ** 2)) if spread else 0.0
    centres = ends.mean() + shrunk * (ends - ends.mean())
    true = random.choice(centres, (searches, trials))
    true += random.normal(0, 0.5 * spread * shrunk * len(ends) ** -0.2, true.shape)
    seen = true + random.normal(0, noise, true.shape)
    order = np.argsort(-seen, axis=1)
    best, found = true.max(1), []
    for top, seeds in _CONFIRMATIONS:
        if top > trials:
            continue
        chosen = np.take_along_axis(true, order[:, :top], 1)
        means = chosen + random.normal(0, noise / np.sqrt(seeds), chosen.shape)
        winner = np.take_along_axis(chosen, means.argmax(1)[:, None], 1)[:, 0]
        found.append(Confirmation(top, seeds, float((best - winner).mean())))
    return found


_CONFIRMATIONS = ((1, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3), (5, 5), (8, 3), (8, 5))
