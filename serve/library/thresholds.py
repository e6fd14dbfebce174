"""From which probability on an answer may be trusted, judged on pictures nobody trained on.

A search exports what the winner's confirmations said of its validation images (`validation.npz`).
The test images play no part: a threshold chosen on them could no longer be measured on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNSURE_WITHOUT = 0.5
"""Below which an answer counts as unsure where nothing was held out: rather no than yes."""

SURE = 0.9
"""Share of the sure answers that should be right."""

_Z = 1.2816
"""One-sided 90 % of the normal distribution."""


@dataclass(frozen=True)
class HeldOut:
    """Answers about pictures that were held out, of one training or of several.

    Attributes:
        labels: `(N,)` int, the true classes.
        predicted: `(trainings, N)` int, the classes that were named.
        confidence: `(trainings, N)` float, their probabilities.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    @property
    def trainings(self) -> int:
        """How many trainings answered."""
        return len(self.predicted)

    @property
    def right(self) -> np.ndarray:
        """`(trainings, N)` bool."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True)
class Threshold:
    """Where answers are trusted from.

    Attributes:
        probability: The least that is trusted; None if no threshold is known to be good enough.
        precision: Share of the trusted held-out answers that were right.
        share: Share of the held-out answers that are trusted.
        count: Held-out pictures that this rests on, all that the class was named for.
    """

    probability: float | None
    precision: float
    share: float
    count: int


def read_held_out(folder: Path) -> HeldOut | None:
    """What a `best/` folder says of held-out pictures; None if nothing."""
    path = folder / "validation.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        labels, said = file["labels"], file["probabilities"]
    return HeldOut(labels, said.argmax(2), said.max(2))


def overall(held: HeldOut, precision: float) -> Threshold:
    """One threshold for the answers of all classes together."""
    return _lowest(held.confidence.ravel(), held.right.ravel(), precision, held.trainings)


def per_class(held: HeldOut, classes: Sequence[str], precision: float) -> Mapping[str, Threshold]:
    """A threshold for each class, above which its answers are right as often as wanted.

    Args:
        held: Answers about held-out pictures.
        classes: Names, by label.
        precision: Wanted share of right ones among the trusted answers, in (0, 1).
    """
    named = [held.predicted == label for label in range(len(classes))]
    return {
        name: _lowest(held.confidence[mine], held.right[mine], precision, held.trainings)
        for name, mine in zip(classes, named, strict=True)
    }


def _lowest(
    confidence: np.ndarray, right: np.ndarray, precision: float, trainings: int
) -> Threshold:
    """The lowest threshold whose precision is shown to be high enough.

    Shown means that the Wilson score interval's lower end (one-sided, 90 %) reaches it: of ten
    answers that happen to be right all ten, nobody knows that 95 % will be. Several trainings
    answer about the same pictures, so that each answer counts as a part of one picture.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    accepted = np.arange(1, len(order) + 1)
    hits = np.cumsum(right)
    reached = _wilson_low(hits / accepted, accepted / trainings) >= precision
    # Equal confidences are accepted together.
    last = np.append(confidence[1:] != confidence[:-1], True)[: len(order)]
    good = np.flatnonzero(reached & last)
    pictures = round(len(order) / trainings)
    if not len(good):
        return Threshold(None, 0.0, 0.0, pictures)
    end = good[-1]
    return Threshold(
        float(confidence[end]), float(hits[end] / accepted[end]), float((end + 1) / len(order)),
        pictures,
    )  # fmt: skip


def _wilson_low(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Lower end of the Wilson score interval (Wilson, 1927)."""
    spread = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    low: np.ndarray = (share + _Z**2 / (2 * count) - spread) / (1 + _Z**2 / count)
    return low
