"""From which probability on a prediction may be trusted, judged on pictures nobody trained on.

A search exports what the winner's confirmations said of its validation images (`validation.npz`).
The test images play no part: a threshold chosen on them could no longer be measured on them.

"95 % right from 0.9 on" is a claim, and a threshold is chosen such that it is false in at most a
tenth of all draws of held-out pictures. Thresholds are tried in an order that is fixed before
anybody looks at what was right, from the most confident predictions down. Each one is tested by
the exact binomial test at 10 %, and the last one before the first that fails is taken
(fixed-sequence testing: Bauer, 1991; Learn then Test: Angelopoulos et al., 2021). To take the
best of many thresholds that pass alone would be wrong: one of many passes by luck.

What is promised is meant for pictures like the held-out ones, and for the mean of the winner's
confirmations; the exported model has learned from more pictures. The temperature was chosen on
the same answers, but is one number for all of them and hardly changes their order.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from records.statistics import binomial_tail
from serve.familiar import exported_arrays

SURE = 0.9  # Share of the sure predictions that should be right.
FALSE_CLAIMS = 0.1  # Share of the claims that may be false.
_GROWTH = 1.03  # From one threshold that is tried to the next, in pictures.


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
        probability: The least that is trusted; None if no threshold is shown to be good enough.
        precision: Share of the trusted held-out predictions that were right.
        share: Share of the held-out predictions that are trusted.
        pictures: Held-out pictures that this rests on, all that the class was named for.
        enough: How many of them could show the wanted precision, if all were right.
    """

    probability: float | None
    precision: float
    share: float
    pictures: int
    enough: int

    @property
    def doubt(self) -> str:
        """Why there is no threshold, in words."""
        if self.pictures < self.enough:
            return (
                f"{self.pictures} held-out pictures are too few, {self.enough} with right answers "
                f"only would be enough"
            )
        return f"the answers about {self.pictures} held-out pictures are not right often enough"


def read_held_out(folder: Path, classes: int) -> HeldOut | None:
    """What a `best/` folder says of held-out pictures; None if nothing.

    Raises:
        ValueError: In one sentence, if the file is damaged or of a model with other classes.
    """
    try:
        with exported_arrays(folder / "validation.npz") as file:
            labels, probabilities = file["labels"], file["probabilities"]
            wanted = (max(1, len(probabilities)), len(labels), classes)
            if labels.ndim != 1 or probabilities.shape != wanted:
                raise ValueError(
                    f"{labels.shape} labels and {probabilities.shape} probabilities are not those "
                    f"of trainings, pictures and {classes} classes"
                )
            # A little above 1 is rounding.
            if not ((probabilities >= 0) & (probabilities <= 1.001)).all():
                raise ValueError("a probability is not from 0 to 1")
    except FileNotFoundError:
        return None
    return HeldOut(labels, probabilities.argmax(2), probabilities.max(2))


def overall(held: HeldOut, precision: float) -> Threshold:
    """One threshold for the predictions of all classes together.

    `precision` is the wanted share of right ones among the trusted predictions, in (0, 1).
    """
    predicted, confidence = _one_answer_each(held)
    return _lowest(confidence, predicted == held.labels, precision)


def per_class(held: HeldOut, classes: Sequence[str], precision: float) -> Mapping[str, Threshold]:
    """A threshold for each class; each is a claim of its own, false in a tenth of all draws."""
    predicted, confidence = _one_answer_each(held)
    right = predicted == held.labels
    return {
        name: _lowest(confidence[predicted == label], right[predicted == label], precision)
        for label, name in enumerate(classes)
    }


def enough(precision: float) -> int:
    """Pictures that show a precision in (0, 1) if the answers about all of them are right."""
    return max(1, math.ceil(math.log(FALSE_CLAIMS) / math.log(precision) - 1e-9))


def _one_answer_each(held: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """The class and the confidence `(N,)` that one training, drawn for each picture, gave it.

    Several answers about one picture are not independent, and count as one. So drawn, right
    answers follow the binomial distribution with the mean precision of the trainings.
    """
    trainings, pictures = held.predicted.shape
    drawn = np.random.default_rng(0).integers(trainings, size=pictures), np.arange(pictures)
    return held.predicted[drawn], held.confidence[drawn]


def _lowest(confidence: np.ndarray, right: np.ndarray, precision: float) -> Threshold:
    """The lowest threshold that is shown to reach a precision, for answers `(N,)`."""
    order = np.argsort(-confidence, kind="stable")
    confidence, hits = confidence[order], np.cumsum(right[order])
    pictures, least, trusted = len(order), enough(precision), 0
    for accepted in _accepted(confidence, least):
        if binomial_tail(int(hits[accepted - 1]), accepted, precision) > FALSE_CLAIMS:
            break
        trusted = accepted
    if not trusted:
        return Threshold(None, 0.0, 0.0, pictures, least)
    return Threshold(
        float(confidence[trusted - 1]), float(hits[trusted - 1] / trusted), trusted / pictures,
        pictures, least,
    )  # fmt: skip


def _accepted(confidence: np.ndarray, least: int) -> Iterator[int]:
    """How many answers are accepted, for one threshold after the other.

    The first threshold accepts few, but `least` of them, and where there are many so many that a
    wrong one among them need not end it. Confidence is in descending order; equal ones are
    accepted together.
    """
    count = len(confidence)
    wanted, accepted = max(least, min(2 * least, count // 2), count // 8), 0
    while wanted <= count and accepted < count:
        if wanted > accepted:
            last = confidence[wanted - 1]
            accepted = int(np.searchsorted(-confidence, -last, side="right"))
            yield accepted
        wanted = min(count, max(wanted + 1, int(wanted * _GROWTH)))
