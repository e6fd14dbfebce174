"""Pictures whose label is probably wrong, found by predictions of trainings that never saw them.

Which ones: confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", 2021). A class is confidently present in a picture when its
probability is at least the mean of that class's probability over the pictures so labelled. A
picture is suspected when the likeliest of those classes is not its label. That counts the honest
confusions of a weak model too: with 63 % accuracy and no wrong label it suspects every sixth.

How many are real: a model of the labels with two numbers, the share `e` of labels that were
replaced by another class at random and a temperature `T` of the model's own doubt, both chosen for
the likelihood of the given labels y of K classes:

    P(y | x) = (1 - e) p_T(y | x) + e / (K - 1) * (1 - p_T(y | x))

Doubt explains the disagreements that come with low confidence, noise those that do not depend on
it (a noise layer: Goldberger and Ben-Reuven, 2017). The second term's share of the sum is the
probability that a label is wrong; over all pictures these add up to the expected number of errors.
Errors with a system, which the trainings could learn too, are counted too low. Of a class that the
trainings never recognise, nothing can be said: its pictures are left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from records.evaluation import LabelErrors, SuspectLabel
from search.finalize.calibrate import at_temperature

_LISTED = 100
# Probability of an error from which a suspected label is worth a look.
_LEAST = 0.1
_NOISES = np.concatenate([[0.0], np.geomspace(1e-3, 0.5, 50)])
_TEMPERATURES = np.geomspace(0.2, 5.0, 40).tolist()
_TINY = 1e-300


class Suspects(NamedTuple):
    """Rows with probably wrong labels, most probable first, and what is known of all rows."""

    rows: np.ndarray  # `(found,)` int.
    wrong: np.ndarray  # `(N,)` float in [0, 1], the probability that a label is wrong.
    noise: float


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> Suspects:
    """Probable label errors, from given labels `(N,)` and out-of-sample `(N, classes)`."""
    recognised = np.unique(labels[probabilities.argmax(1) == labels])
    known = np.flatnonzero(np.isin(labels, recognised))
    wrong = np.zeros(len(labels))
    if not len(known):
        return Suspects(known, wrong, 0.0)
    noise, wrong[known] = wrong_labels(labels[known], probabilities[known])
    rows = np.flatnonzero(confident_errors(labels, probabilities) & (wrong >= _LEAST))
    return Suspects(rows[np.argsort(-wrong[rows], kind="stable")], wrong, noise)


def confident_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """`(N,)` bool: off the diagonal of the confident joint, and not predicted as labelled."""
    count = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    sizes = np.bincount(labels, minlength=count)
    sums = np.bincount(labels, own, minlength=count)
    # A class without pictures is nowhere confidently present.
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    present = probabilities >= thresholds
    likeliest = np.where(present, probabilities, -1.0).argmax(1)
    predicted = probabilities.argmax(1)
    return np.asarray(present.any(1) & (likeliest != labels) & (predicted != labels))


def wrong_labels(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of wrong labels, and for each the probability in [0, 1] that it is wrong.

    Arguments as for `suspects`; at least two classes.
    """
    count = probabilities.shape[1]
    # Two numbers need no more pictures than these.
    some = slice(None, None, max(1, probabilities.size // 2_000_000, len(labels) // 20_000))
    fits = []
    for temperature in _TEMPERATURES:
        likelihoods = _likelihoods(labels[some], probabilities[some], temperature)
        best = int(likelihoods.argmax())
        fits.append((likelihoods[best], temperature, _NOISES[best]))
    _, temperature, noise = max(fits)
    own = at_temperature(probabilities, temperature)[np.arange(len(labels)), labels]
    replaced = noise / (count - 1) * (1 - own)
    wrong = replaced / np.maximum((1 - noise) * own + replaced, _TINY)
    return float(noise), wrong


def _likelihoods(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The log-likelihood of the labels at each share of noise.

    One more picture is counted whose label is anybody's guess, so that a few predictions that are
    all right do not ask for boundless confidence.
    """
    scaled, others = at_temperature(probabilities, temperature), probabilities.shape[1] - 1
    own, guess = scaled[np.arange(len(labels)), labels], scaled.mean(0)
    logs = [
        np.log(np.maximum((1 - _NOISES) * p + _NOISES / others * (1 - p), _TINY))
        for p in (own[:, None], guess[:, None])
    ]
    return np.asarray(logs[0].sum(0) + logs[1].mean(0))


def label_errors(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], paths: Sequence[str]
) -> tuple[LabelErrors, np.ndarray]:
    """The record of what `suspects` finds, and the rows of the pictures that it lists."""
    found = suspects(labels, probabilities)
    listed, predicted = found.rows[:_LISTED], probabilities.argmax(1)
    record = LabelErrors(
        n=len(labels),
        noise=found.noise,
        found=len(found.rows),
        expected=float(found.wrong[found.rows].sum()),
        listed=tuple(
            SuspectLabel(
                path=paths[row],
                label=classes[labels[row]],
                predicted=classes[predicted[row]],
                label_probability=float(probabilities[row, labels[row]]),
                predicted_probability=float(probabilities[row, predicted[row]]),
                wrong=float(found.wrong[row]),
            )
            for row in listed
        ),
    )
    return record, listed
