"""The pictures of the report: which test image each is, and what the model said of it."""

from collections.abc import Sequence

from reports.exported import Predictions
from reports.numbers.base import Numbers


class Seen(Numbers):
    """One test image that is kept as a picture."""

    picture: int
    """Its place among the pictures."""

    row: int
    """Its place in the test set."""

    true: str
    predicted: str
    probability: float
    """Of the predicted class."""

    true_probability: float
    """Of the true class."""


def most_confident_errors(kept: Predictions, classes: Sequence[str]) -> tuple[Seen, ...]:
    """The errors that the model was surest of, surest first."""
    return tuple(_seen(kept, classes, place) for place in range(kept.wrong_count))


def examples(kept: Predictions, classes: Sequence[str], most: int) -> dict[str, tuple[Seen, ...]]:
    """Class -> some of its test images, right or wrong; at most so many in all.

    With very many classes, only the first ones are shown.
    """
    each = max(1, most // max(1, len(classes)))
    found: dict[str, list[Seen]] = {}
    for place in range(kept.wrong_count, len(kept.rows)):
        seen = _seen(kept, classes, place)
        shown = found.setdefault(seen.true, [])
        if len(shown) < each and sum(map(len, found.values())) < most:
            shown.append(seen)
    return {name: tuple(shown) for name, shown in found.items() if shown}


def _seen(kept: Predictions, classes: Sequence[str], place: int) -> Seen:
    row = int(kept.rows[place])
    probabilities, true = kept.probabilities[row], int(kept.labels[row])
    predicted = int(probabilities.argmax())
    return Seen(
        picture=place,
        row=row,
        true=classes[true],
        predicted=classes[predicted],
        probability=float(probabilities[predicted]),
        true_probability=float(probabilities[true]),
    )
