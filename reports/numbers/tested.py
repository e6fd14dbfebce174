"""What the predictions on the test images say beyond the accuracy."""

from collections.abc import Sequence

import numpy as np

from reports.numbers.base import Numbers

BINS = 15


class Bin(Numbers):
    """The images whose confidence lies in one interval."""

    low: float
    high: float
    n: int
    confidence: float | None
    """Mean confidence; None without images."""

    accuracy: float | None


class Reliability(Numbers):
    """Confidence against accuracy."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error: the mean gap, weighted by images (Guo et al., 2017)."""

    confidence: float
    """Mean confidence over all images."""

    accuracy: float
    n: int


class Confused(Numbers):
    """Images of one class taken for another."""

    true: str
    predicted: str
    n: int
    share: float
    """Of the images of the true class."""


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Confidence against accuracy in equal-width bins of confidence.

    Args:
        labels: `(N,)` int.
        probabilities: `(N, classes)`.
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = tuple(
        _bin(number, confidence[place == number], right[place == number]) for number in range(BINS)
    )
    gaps = np.bincount(place, weights=right - confidence, minlength=BINS)
    return Reliability(
        bins=bins,
        error=float(np.abs(gaps).sum() / len(labels)),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        n=len(labels),
    )


def _bin(number: int, confidence: np.ndarray, right: np.ndarray) -> Bin:
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        n=len(right),
        confidence=float(confidence.mean()) if len(right) else None,
        accuracy=float(right.mean()) if len(right) else None,
    )


def row_shares(matrix: Sequence[Sequence[int]]) -> list[list[float | None]]:
    """Each row of a confusion matrix as shares of its sum; None for a class without images."""
    return [[n / sum(row) if sum(row) else None for n in row] for row in matrix]


def most_confused(
    matrix: Sequence[Sequence[int]], classes: Sequence[str], count: int
) -> tuple[Confused, ...]:
    """The pairs of classes that are mistaken for one another most often, by images."""
    counts = np.array(matrix)
    np.fill_diagonal(counts, 0)
    totals = np.maximum(np.array(matrix).sum(1), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = [(int(place) // len(classes), int(place) % len(classes)) for place in order]
    return tuple(
        Confused(
            true=classes[a], predicted=classes[b], n=int(counts[a, b]),
            share=float(counts[a, b] / totals[a]),
        )
        for a, b in pairs
        if counts[a, b] > 0
    )  # fmt: skip
