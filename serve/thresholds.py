"""From which probability on a prediction may be trusted, judged on pictures nobody trained on.

A search exports what the winner's confirmations said of its validation images (`validation.npz`).
The test images play no part: a threshold chosen on them could no longer be measured on them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from records.statistics import wilson_interval

SURE = 0.9  # Share of the sure predictions that should be right.


class HeldOut(NamedTuple):
    """Predictions about pictures that were held out, of one training or of several.

    Attributes:
        labels: `(N,)` int, the true classes.
        predicted: `(trainings, N)` int, the classes that were named.
        confidence: `(trainings, N)` float, their probabilities.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """`(trainings, N)` bool."""
        return np.asarray(self.predicted == self.labels)


class Threshold(NamedTuple):
    """Where predictions are trusted from.

    Attributes:
        probability: The least that is trusted; None if no threshold is known to be good enough.
        precision: Share of the trusted held-out predictions that were right.
        share: Share of the held-out predictions that are trusted.
        pictures: Held-out pictures that this rests on, all that the class was named for.
    """

    probability: float | None
    precision: float
    share: float
    pictures: int


def read_held_out(folder: Path) -> HeldOut | None:
    """What a `best/` folder says of held-out pictures; None if nothing."""
    path = folder / "validation.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        labels, probabilities = file["labels"], file["probabilities"]
    return HeldOut(labels, probabilities.argmax(2), probabilities.max(2))


def overall(held: HeldOut, precision: float) -> Threshold:
    """One threshold for the predictions of all classes together."""
    return _lowest(held, np.ones_like(held.predicted, bool), precision)


def per_class(held: HeldOut, classes: Sequence[str], precision: float) -> Mapping[str, Threshold]:
    """A threshold for each class, above which its predictions are right as often as wanted.

    `precision` is the wanted share of right ones among the trusted predictions, in (0, 1).
    """
    return {
        name: _lowest(held, held.predicted == label, precision)
        for label, name in enumerate(classes)
    }


def _lowest(held: HeldOut, chosen: np.ndarray, precision: float) -> Threshold:
    """The lowest threshold whose precision is shown to be high enough for the chosen predictions.

    Shown means that the Wilson score interval's lower end (one-sided, 90 %) reaches it: of ten
    predictions that happen to be right all ten, nobody knows that 95 % will be. Several trainings
    predict the same pictures, so that each prediction counts as a part of one picture.
    """
    trainings = len(held.predicted)
    confidence, right = held.confidence[chosen], held.right[chosen]
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    pictures = round(len(order) / trainings)
    accepted, hits = np.arange(1, len(order) + 1), np.cumsum(right)
    low, _ = wilson_interval(hits / trainings, accepted / trainings, confidence=0.8)
    # Equal confidences are accepted together.
    last = np.append(confidence[1:] != confidence[:-1], True)[: len(order)]
    good = np.flatnonzero((low >= precision) & last)
    if not len(good):
        return Threshold(None, 0.0, 0.0, pictures)
    end = good[-1]
    return Threshold(
        float(confidence[end]), float(hits[end] / accepted[end]), float((end + 1) / len(order)),
        pictures,
    )  # fmt: skip
