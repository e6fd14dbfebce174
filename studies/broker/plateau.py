"""What more trials would bring, and the policy that stops when that is too little."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from records.trial import TrialRecord, finite
from records.words import percent
from studies.broker import Given, Policy

AHEAD = 20  # Trials of which the gain is told.
LEAST = 10  # Trials below which nothing can be told.
_TAIL = 0.4  # Share of the trials whose results make the tail, five at least.
_PRIOR = 3.0  # Of the tail's scale, in quartiles: as Zhang and Stephens have it.
_SURE = 0.97
"""What the interval holds if the fitted tail is right. Few trials do not tell it so well: of
simulated searches, 90 % and more lie in it."""


class Gain(BaseModel):
    """By how much so many more trials raise the best result, in [0, 1].

    Attributes:
        more: How many trials.
        expected: Their mean gain.
        low: Lower end of the interval in which the gain of 90 % of such searches lies.
        high: Its upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    more: int
    expected: float
    low: float
    high: float

    def in_words(self) -> str:
        """The same for people."""
        return (
            f"{self.more} more trials are expected to bring +{100 * self.expected:.2f} points "
            f"({100 * self.low:.2f} to {100 * self.high:.2f})"
        )


def gain(results: Sequence[float | None], more: int = AHEAD) -> Gain | None:
    """What more trials are expected to bring, if they are drawn as those before were.

    Results above a threshold follow a generalised Pareto distribution (Pickands, 1975). Its shape
    and scale are not one estimate but all that Zhang and Stephens (2009) weigh, and how often a
    trial gets above the threshold is as uncertain as the few above it leave it.

    Args:
        results: Of all trials, in [0, 1]; None = it was pruned, and counts as below the others.
        more: How many trials are to come, at least 1.

    Returns:
        None with fewer than ten trials, or fewer than six results.
    """
    known = np.sort([v for v in results if v is not None])
    n, tail = len(results), max(5, round(_TAIL * len(results)))
    tail = min(tail, len(known) - 1)
    if n < LEAST or tail < 5:
        return None
    excess = known[-tail:] - known[-tail - 1]
    room = 1.0 - float(known[-1])
    if excess[-1] <= 0 or room <= 0:  # All are the same, or nothing is left to gain.
        return Gain(more=more, expected=0.0, low=0.0, high=0.0)
    steps = np.concatenate([[0.0], np.geomspace(1e-4 * min(excess[-1], room), room, 400)])
    above = 1 - _best_below(excess, excess[-1] + steps, tail, n, more)
    widths = np.diff(steps)
    return Gain(
        more=more,
        expected=float((widths * (above[1:] + above[:-1]) / 2).sum()),
        low=_quantile(steps, above, (1 - _SURE) / 2),
        high=_quantile(steps, above, (1 + _SURE) / 2),
    )


def _quantile(steps: np.ndarray, above: np.ndarray, share: float) -> float:
    """The smallest gain that is not exceeded with this chance."""
    place = int(np.argmax(above <= 1 - share)) if (above <= 1 - share).any() else -1
    return float(steps[place])


def _best_below(excess: np.ndarray, at: np.ndarray, tail: int, n: int, more: int) -> np.ndarray:
    """The chance, `(len(at),)`, that the best of `more` draws exceeds the threshold by less."""
    inverse, shape, weight = _tails(excess)
    base = np.clip(1 - inverse[:, None] * at, 0, None)
    with np.errstate(divide="ignore"):
        survives = np.where(base > 0, np.exp(-np.log(base) / shape[:, None]), 0.0)
    # The share above the threshold: quantiles of Beta(tail, n - tail + 1) as a normal has them.
    mean = tail / (n + 1)
    spread = np.sqrt(mean * (1 - mean) / (n + 2))
    shares = np.clip(mean + spread * np.array([-1.5, -0.7, 0.0, 0.7, 1.5]), 1e-6, 1.0)
    chances = ((1 - share * survives) ** more for share in shares)
    mixed = sum(chances, np.zeros_like(survives)) / len(shares)
    return np.asarray(weight @ mixed)


def _tails(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse end points, shapes and weights of the tails that these ascending values allow.

    A tail survives x with chance (1 - inverse x) ** (-1 / shape), as Zhang and Stephens write it
    with the signs of Vehtari et al., "Pareto Smoothed Importance Sampling", 2024.
    """
    m = len(excess)
    grid = np.arange(1, 31 + int(np.sqrt(m)))
    quartile = max(float(excess[int(m / 4 + 0.5) - 1]), 1e-3 * float(excess[-1]))
    inverse = 1 / excess[-1] + (1 - np.sqrt(len(grid) / (grid - 0.5))) / (_PRIOR * quartile)
    inverse = np.where(np.abs(inverse) < 1e-9 / excess[-1], 1e-9 / excess[-1], inverse)
    shape = np.log1p(-inverse[:, None] * excess).mean(axis=1)
    likelihood = m * (np.log(-inverse / shape) - shape - 1)
    weight = np.exp(likelihood - likelihood.max())
    return inverse, shape, weight / weight.sum()


def results_of(trials: Sequence[TrialRecord]) -> list[float | None]:
    """Results of those complete or pruned trials that have the method of the last one."""
    tried = [t for t in trials if t.tried]
    kinds = {t.method for t in tried[-1:]}
    return [finite(t.result) for t in tried if t.method in kinds]


@dataclass(frozen=True)
class Plateau(Policy):
    """Lets another policy decide, until more trials would bring too little.

    Attributes:
        policy: The other one.
        least: The expected gain of `AHEAD` more trials that is worth them, in [0, 1].
        method: Of the trials that count: those before them are not what the search ends with.
        after: Trials of that method before which it does not stop.
    """

    policy: Policy
    least: float
    method: str
    after: int

    def may_start(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether another trial may start."""
        return self.policy.may_start(trials) and not self.reached(trials)

    def settle(self, index: int, trials: Sequence[TrialRecord]) -> Given:
        """What the other policy settles."""
        return self.policy.settle(index, trials)

    def reached(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether more trials would bring too little."""
        results = [finite(t.result) for t in trials if t.tried and t.method == self.method]
        found = gain(results) if len(results) >= max(self.after, AHEAD) else None
        return found is not None and found.expected < self.least

    def in_words(self, found: Gain) -> str:
        """Why no further trial starts."""
        return (
            f"no further trials, since {found.in_words()}, and [study] least_gain is "
            f"{percent(self.least)}"
        )
