"""What was predicted for which picture: `predictions.csv`, and the pictures of a report."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from records.evaluation import LabelErrors
from records.pixels import thumbnails
from records.words import writable
from search.finalize.calibrate import HeldOut
from search.finalize.label_errors import label_errors
from search.plan import Plan
from train_core.data.prepare import image_rows

if TYPE_CHECKING:
    from search.export.evaluation import Tested

_COLUMNS = "path", "part", "true", "predicted", "true_probability", "predicted_probability"


@dataclass(frozen=True)
class Predicted:
    """Predictions for the pictures of one part: paths, labels `(N,)` and `(N, classes)`."""

    part: str
    paths: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Named:
    """Predictions with the paths of their pictures."""

    table: str  # The content of `predictions.csv`.
    pictures: dict[str, np.ndarray]  # For `evaluation.npz`.
    label_errors: LabelErrors | None  # None without held-out predictions.


def name_pictures(plan: Plan, tested: "Tested", held_out: HeldOut | None) -> Named:
    """Say which picture every prediction is about, and which labels are probably wrong."""
    from search.export.evaluation import shown_pictures

    data, classes = plan.data, plan.data.classes
    of_test = _named(data.paths("test"), "test", range(data.test.count))
    parts = [Predicted("test", of_test, tested.labels, tested.probabilities)]
    pictures, errors = shown_pictures(tested, of_test), None
    if held_out is not None:
        rows = held_out.rows
        if rows is None:
            rows = data.rows(plan.config.data).validation
        paths = _named(data.paths("train"), "train", rows.tolist())
        said = held_out.probabilities.mean(0)
        parts.append(Predicted("validation", paths, held_out.labels, said))
        errors, listed = label_errors(held_out.labels, said, classes, paths)
        suspects = image_rows(data, "train").take(rows[listed])
        pictures["label_error_pictures"] = thumbnails(suspects)
    return Named(predictions_csv(parts, classes), pictures, errors)


def predictions_csv(parts: Iterable[Predicted], classes: Sequence[str]) -> str:
    """A line for every picture; the two probabilities are of the true and the predicted class."""
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    for part in parts:
        lines.writerows(_lines(part, classes))
    return text.getvalue()


def _lines(of: Predicted, classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    predicted, rows = of.probabilities.argmax(1), np.arange(len(of.labels))
    own, top = of.probabilities[rows, of.labels], of.probabilities[rows, predicted]
    for path, true, named, *both in zip(of.paths, of.labels, predicted, own, top, strict=True):
        yield path, of.part, classes[true], classes[named], *(f"{p:.4g}" for p in both)


def _named(paths: Sequence[str], part: str, rows: Iterable[int]) -> list[str]:
    """Paths that can be written anywhere; data without files have their row for a name."""
    found = (paths[row] if paths else f"{part}/{row}" for row in rows)
    return [writable(path) for path in found]
