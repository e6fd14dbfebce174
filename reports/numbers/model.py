"""The exported model: what it is, and what its predictions on the test images say."""

from collections.abc import Mapping, Sequence

import numpy as np

from records.evaluation import ClassQuality, LabelErrors, Quality, class_warnings, left_out
from records.metrics import Metrics
from records.statistics import BINS, calibration_error, confidence_bins
from records.words import network_of
from reports.numbers import Numbers
from reports.source import Predictions

_EXAMPLES = 320


class Bin(Numbers):
    """The images whose confidence lies in one interval; their means are None without images."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Reliability(Numbers):
    """Mean confidence against accuracy over `n` images, and their expected calibration error."""

    bins: tuple[Bin, ...]
    error: float
    confidence: float
    accuracy: float
    n: int


class Confused(Numbers):
    """Images of one class taken for another; `share` is of those of the true class."""

    true: str
    predicted: str
    n: int
    share: float


class Picture(Numbers):
    """One test image (`row`) that is kept as a picture, and what the model said of it.

    `path` is that of its file, relative to the data set's root; None in older exports.
    """

    picture: int
    row: int
    path: str | None
    true: str
    predicted: str
    probability: float
    true_probability: float


class Model(Numbers):
    """The exported model on the test images; what the predictions say is None without them.

    Attributes:
        warnings: What must be said loudly beside its accuracy, a sentence each.
        left_out: Which classes have no test images, in a sentence; None if all have some.
        per_class: By recall, lowest first; classes without test images come last.
        macro: Over the classes that have test images.
        unequal: Whether classes have different numbers of test images.
        mirrored_accuracy: With mirrored views averaged.
        unexplained: Why it does not show where it looks, if an export said so.
        errors: The errors that the model was surest of, surest first.
        strengths: Of augmentation, as far as there are pictures of it.
        augment: The strength that the model was trained with.
    """

    description: str
    parameters: int
    classes: tuple[str, ...]
    curves: dict[str, list[float | None]]
    warnings: tuple[str, ...]
    left_out: str | None
    per_class: dict[str, ClassQuality]
    macro: Quality
    unequal: bool
    label_errors: LabelErrors | None
    confusion: list[list[int]]
    confusion_shares: list[list[float | None]]
    confused: tuple[Confused, ...]
    mirrored_accuracy: float | None
    unexplained: str | None
    reliability: Reliability | None
    errors: tuple[Picture, ...]
    examples: dict[str, tuple[Picture, ...]]
    strengths: tuple[float, ...]
    augment: float | None


def model(metrics: Metrics, kept: Predictions | None) -> Model:
    """All numbers of an exported model."""
    test, classes, training = metrics.test, metrics.data.classes, metrics.training
    strengths = () if kept is None or kept.strengths is None else kept.strengths.tolist()
    pictures = [_picture(kept, classes, n) for n in range(len(kept.rows))] if kept else []
    wrong, per_class = kept.wrong_count if kept else 0, by_recall(test.per_class)
    shown = examples(pictures[wrong:], len(classes))
    return Model(
        description=network_of(training),
        parameters=metrics.parameters, classes=classes, curves=metrics.curves,
        warnings=tuple(class_warnings(test)), left_out=left_out(test),
        per_class=per_class, macro=test.macro_tested, unequal=test.unequal,
        label_errors=metrics.label_errors,
        confusion=test.confusion_matrix,
        confusion_shares=row_shares(test.confusion_matrix),
        confused=most_confused(test.confusion_matrix, classes, 20),
        mirrored_accuracy=metrics.test_tta.accuracy if metrics.test_tta else None,
        unexplained=metrics.maps if isinstance(metrics.maps, str) else None,
        reliability=reliability(kept.labels, kept.probabilities) if kept else None,
        errors=tuple(pictures[:wrong]),
        examples={name: shown[name] for name in per_class if name in shown},
        strengths=tuple(strengths), augment=training.get("augment"),
    )  # fmt: skip


def by_recall(per_class: Mapping[str, ClassQuality]) -> dict[str, ClassQuality]:
    """The classes by recall, lowest first and large ones before small; untested ones last."""
    order = per_class.items()
    return dict(sorted(order, key=lambda item: (not item[1].n, item[1].recall, -item[1].n)))


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """By equal-width bins of confidence, from labels `(N,)` int and `(N, classes)`."""
    found, count = confidence_bins(labels, probabilities), len(labels)
    bins = (
        Bin(
            low=number / BINS, high=(number + 1) / BINS, n=int(n),
            confidence=float(confidence / n) if n else None,
            accuracy=float(right / n) if n else None,
        )
        for number, (n, confidence, right) in enumerate(zip(*found, strict=True))
    )  # fmt: skip
    return Reliability(
        bins=tuple(bins), error=calibration_error(labels, probabilities), n=count,
        confidence=float(found.confidence.sum() / count),
        accuracy=float(found.right.sum() / count),
    )  # fmt: skip


def row_shares(matrix: Sequence[Sequence[int]]) -> list[list[float | None]]:
    """Each row of a confusion matrix as shares of its sum; None for a class without images."""
    return [[n / sum(row) if sum(row) else None for n in row] for row in matrix]


def most_confused(
    matrix: Sequence[Sequence[int]], classes: Sequence[str], count: int
) -> tuple[Confused, ...]:
    """The pairs of classes that are mistaken for one another most often, by images."""
    counts = np.array(matrix)
    totals = np.maximum(counts.sum(1), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return tuple(
        Confused(
            true=classes[a], predicted=classes[b], n=int(counts[a, b]),
            share=float(counts[a, b] / totals[a]),
        )
        for a, b in pairs
        if counts[a, b] > 0
    )  # fmt: skip


def examples(pictures: Sequence[Picture], classes: int) -> dict[str, tuple[Picture, ...]]:
    """Class -> some of its test images, right or wrong; of very many classes the first ones."""
    each = max(1, _EXAMPLES // max(1, classes))
    found: dict[str, list[Picture]] = {}
    for picture in pictures:
        shown = found.setdefault(picture.true, [])
        if len(shown) < each and sum(map(len, found.values())) < _EXAMPLES:
            shown.append(picture)
    return {name: tuple(shown) for name, shown in found.items() if shown}


def _picture(kept: Predictions, classes: Sequence[str], place: int) -> Picture:
    row = int(kept.rows[place])
    probabilities, true = kept.probabilities[row], int(kept.labels[row])
    predicted = int(probabilities.argmax())
    return Picture(
        picture=place, row=row, path=kept.paths[place] if kept.paths else None,
        true=classes[true], predicted=classes[predicted],
        probability=float(probabilities[predicted]),
        true_probability=float(probabilities[true]),
    )  # fmt: skip
