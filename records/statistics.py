"""The statistics that results are told with: spreads, intervals, estimates."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from records.words import percent

BINS = 15  # Intervals of confidence between 0 and 1 for the calibration error.
FEW = 200  # Validation images below which luck decides between good trials.


class Spread(BaseModel):
    """What several values come to."""

    model_config = ConfigDict(frozen=True, extra="allow")

    mean: float
    std: float | None  # Sample standard deviation; None for a single value.
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(mean=float(np.mean(values)), std=std, n=len(values))


def over_folds(spread: Spread) -> str:
    """How much folds differ, in words."""
    return f"{spread.n} folds, sd {percent(spread.std)}"


class ConfidenceBins(NamedTuple):
    """Images by confidence, in `BINS` intervals of equal width: sums over each, `(BINS,)`."""

    n: np.ndarray
    confidence: np.ndarray
    right: np.ndarray


def wilson_interval(
    hits: np.ndarray | float, count: np.ndarray | float, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """The ends in [0, 1] of the Wilson score interval of a share (Wilson, 1927).

    Args:
        hits: How many were right; need not be whole.
        count: Of how many, above 0.
        confidence: Of the two-sided interval; one end alone has `(1 + confidence) / 2`.
    """
    hits, count = np.asarray(hits, dtype=np.float64), np.asarray(count, dtype=np.float64)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / count
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    # The share is always inside, but for the last bit.
    return np.clip((middle - half) / scale, 0, share), np.clip((middle + half) / scale, share, 1)


def accuracy_interval(hits: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson interval of an accuracy."""
    low, high = wilson_interval(hits, count)
    return float(low), float(high)


def few_validation_images(n: int) -> str | None:
    """Why the accuracies of a search on so many mean little, in words; None if they are enough."""
    if n >= FEW:
        return None
    error = math.sqrt(0.9 * 0.1 / n)
    return (
        f"only {n} validation images: one of them is {1 / n:.1%}, and an accuracy of 90 % has a "
        f"standard error of {error:.1%}"
    )


def binomial_tail(hits: int, count: int, share: float) -> float:
    """The chance of at least `hits` in [0, count] out of `count`, each with chance `share`.

    The lower end of the one-sided interval of Clopper and Pearson (1934) at confidence c is at
    least `share`, in (0, 1), exactly where this chance is 1 - c at most.
    """
    misses = np.arange(count - hits + 1, dtype=np.float64)
    # Logarithms of the binomial coefficients, each from the one before it.
    steps = np.log((count - misses[:-1]) / (misses[:-1] + 1))
    ways = np.concatenate([[0.0], np.cumsum(steps)])
    logs = ways + (count - misses) * np.log(share) + misses * np.log1p(-share)
    return min(1.0, float(np.exp(logs).sum()))


def confidence_bins(labels: np.ndarray, probabilities: np.ndarray) -> ConfidenceBins:
    """Sort images, with labels `(N,)` and probabilities `(N, classes)`, by their confidence."""
    confidence = probabilities.max(1).astype(np.float64)
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    parts = [np.bincount(place, weights, BINS) for weights in (None, confidence, right)]
    return ConfidenceBins(*parts)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error in [0, 1] (Guo et al., 2017).

    The mean gap between confidence and accuracy over the bins, weighted by the images in each.
    Arguments as for `confidence_bins`.
    """
    bins = confidence_bins(labels, probabilities)
    return float(np.abs(bins.right - bins.confidence).sum() / len(labels))


def neighbour_distances(known: np.ndarray, embeddings: np.ndarray, neighbours: int) -> np.ndarray:
    """Distances of embeddings to what is known: small for what is alike.

    One minus the cosine to the nearest but `neighbours - 1` of the known ones, as in Sun et al.,
    "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022.

    Args:
        known: `(N, features)` float32 of length 1 each, N at least `neighbours`.
        embeddings: `(B, features)` of any length.
        neighbours: 1 for the nearest, 2 for the second, ...

    Returns:
        `(B,)` float32, from 0 to 2.
    """
    place = len(known) - neighbours
    cosines = directions(embeddings) @ known.T
    return np.asarray(1 - np.partition(cosines, place, axis=1)[:, place], np.float32)


def directions(embeddings: np.ndarray) -> np.ndarray:
    """The same `(N, features)` with length 1, float32; zeros, which have none, stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


class Estimate(BaseModel):
    """An accuracy in [0, 1], and `low` and `high`: an interval of this name, if one is known.

    If there is none, `interval` says why. It is of `n` of something, as `of` says.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    accuracy: float
    low: float | None
    high: float | None
    interval: str
    n: int | None
    of: str


def validated(accuracy: float, n: int | None, trials: int) -> Estimate:
    """What the search claims; an interval would be of one trial, not of the best of many."""
    return Estimate(
        name="in the search", accuracy=accuracy, low=None, high=None,
        interval=f"no interval, since it is of the best of {trials} trials",
        n=n, of="validation images",
    )  # fmt: skip


def confirmed(spread: Spread) -> Estimate:
    """What fresh seeds say."""
    mean, std = spread.mean, spread.std
    low, high = (None, None) if std is None else (mean - std, mean + std)
    return Estimate(
        name="confirmed", accuracy=mean, low=low, high=high,
        interval="one seed has no spread" if std is None else "± one standard deviation",
        n=spread.n, of="fresh seeds",
    )  # fmt: skip


def in_words(confirmed: Spread) -> str:
    """Mean and deviation of an accuracy over seeds."""
    deviation = "" if confirmed.std is None else f" ± {percent(confirmed.std)}"
    return f"{percent(confirmed.mean)}{deviation} (n = {confirmed.n})"
