"""What a test evaluation is worth: pure functions from labels and probabilities to figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def evaluation(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """All figures of one evaluation.

    Args:
        labels: `(N,)` int, the true classes.
        probabilities: `(N, classes)`, each row sums to 1.
        classes: Names of the classes, by label.

    Returns:
        JSON-able: accuracy with its interval, precision, recall and F1 per class and macro (all in
        [0, 1]), the confusion matrix in images (rows are true classes), the calibration error.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(1)
    every = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    hits = int((predicted == labels).sum())
    return {
        "accuracy": hits / len(labels),
        "interval_95": accuracy_interval(hits, len(labels)),
        "n": len(labels),
        "calibration_error": calibration_error(labels, probabilities),
        "macro": {
            "precision": float(precision.mean()),
            "recall": float(recall.mean()),
            "f1": float(f1.mean()),
        },
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "n": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion_matrix": confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def accuracy_interval(hits: int, count: int) -> list[float]:
    """The Wilson interval that holds the true accuracy with 95 % confidence, as [low, high]."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error in [0, 1] (Guo et al., 2017).

    The mean gap between confidence and accuracy over equal-width bins of confidence, weighted by
    the images in each.

    Args:
        labels: `(N,)` int.
        probabilities: `(N, classes)`.
        bins: Number of bins between 0 and 1.
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def mean_and_std(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for a single value) and count."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": spread, "n": len(values)}
