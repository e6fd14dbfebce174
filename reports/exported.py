"""What the final training left in `best/`: figures, predictions and pictures of the test set."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError


class _Read(BaseModel):
    """A part of `metrics.json`; later versions may add keys."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Quality(_Read):
    """Precision, recall and F1, in [0, 1]."""

    precision: float
    recall: float
    f1: float


class ClassQuality(Quality):
    """Those of one class, with its number of images."""

    n: int


class Tested(_Read):
    """One evaluation on the test images."""

    accuracy: float
    interval_95: tuple[float, float]
    n: int
    calibration_error: float
    macro: Quality
    per_class: dict[str, ClassQuality]
    confusion_matrix: list[list[int]]
    """Images; rows are true classes, columns predicted ones."""


class Spread(_Read):
    """Mean, sample standard deviation (None for one value) and count."""

    mean: float
    std: float | None
    n: int


class Validated(_Read):
    """Validation accuracy in the search, and of how many images."""

    accuracy: float
    n: int


class Data(_Read):
    """The data set."""

    name: str
    classes: list[str]
    image_size: int
    train: dict[str, Any]
    test: dict[str, Any]


class Metrics(_Read):
    """The content of `best/metrics.json`."""

    created: str
    search: dict[str, Any]
    trial: int
    params: dict[str, Any]
    validation: Validated
    confirmed: Spread
    test: Tested
    test_tta: Tested | None = None
    selection_gap: float
    training: dict[str, Any]
    curves: dict[str, list[float | None]]
    data: Data
    parameters: int
    device: str = "not recorded"
    versions: dict[str, str]


class Predictions:
    """The content of `best/evaluation.npz`.

    Attributes:
        labels: `(N,)` int, true classes of the test images.
        probabilities: `(N, classes)` float.
        rows: `(pictures,)` int, the test images that are kept as pictures.
        pictures: `(pictures, side, side, 3)` uint8.
        wrong_count: How many of the first pictures are the most confident errors.
        augmented: `(pictures, strengths, side, side, 3)` uint8; None in older files.
        strengths: `(strengths,)` float; None in older files.
    """

    def __init__(self, held: dict[str, np.ndarray]) -> None:
        """Check that the arrays fit together.

        Raises:
            KeyError: One is missing.
            ValueError: They do not fit together.
        """
        self.labels, self.probabilities = held["labels"], held["probabilities"]
        self.rows, self.pictures = held["picture_rows"], held["pictures"]
        self.wrong_count = int(held["wrong_count"])
        self.augmented, self.strengths = held.get("augmented"), held.get("augment_strengths")
        fits = self.probabilities.ndim == 2 and len(self.labels) == len(self.probabilities)
        if not fits or len(self.rows) != len(self.pictures):
            raise ValueError("its arrays do not fit together")


class Exported:
    """What `best/` holds, as far as it can be read.

    Attributes:
        metrics: None if there is none or it is damaged.
        predictions: The same.
        missing: What could not be read, and why, a sentence each.
    """

    def __init__(
        self, metrics: Metrics | None, predictions: Predictions | None, missing: list[str]
    ) -> None:
        """Keep what was read."""
        self.metrics, self.predictions, self.missing = metrics, predictions, missing


def read_best(folder: Path) -> Exported:
    """Read a study's `best/` folder; what is missing or damaged is said and left out."""
    missing: list[str] = []
    if not folder.is_dir():
        return Exported(None, None, [])
    metrics = _attempt(folder / "metrics.json", _metrics, missing)
    predictions = _attempt(folder / "evaluation.npz", _predictions, missing)
    if metrics and predictions and not _belong(metrics, predictions):
        missing.append("best/evaluation.npz is not of the model that best/metrics.json describes.")
        predictions = None
    return Exported(metrics, predictions, missing)


def _attempt(path: Path, read: Any, missing: list[str]) -> Any:
    try:
        return read(path)
    except FileNotFoundError:
        missing.append(f"best/{path.name} is missing.")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        missing.append(f"best/{path.name} cannot be read: {_reason(error)}.")
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _metrics(path: Path) -> Metrics:
    return Metrics.model_validate(json.loads(path.read_text(encoding="utf-8")))


def _predictions(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as held:
        return Predictions({name: held[name] for name in held.files})


def _belong(metrics: Metrics, predictions: Predictions) -> bool:
    classes = predictions.probabilities.shape[1]
    return len(metrics.data.classes) == classes and metrics.test.n == len(predictions.labels)
