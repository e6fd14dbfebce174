"""`Source`: everything that a report is made from, the study and its `best/`, read once."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from records.metrics import Metrics, parse_metrics
from records.trial import TrialRecord
from records.words import OBJECTIVES
from space import Space, parse_space
from studies.attributes import (
    FURTHER,
    MACHINE,
    TEST_EVALUATIONS,
    confirmations,
    trial_records,
)
from studies.broker.owner import abandoned
from studies.storage import shown
from studies.study import FINGERPRINT, SETTINGS, Place, find

Content = TypeVar("Content")


@dataclass(frozen=True)
class Predictions:
    """The content of `best/evaluation.npz`.

    Attributes:
        labels: `(N,)` int, true classes of the test images.
        probabilities: `(N, classes)` float.
        rows: `(pictures,)` int, the test images that are kept as pictures.
        pictures: `(pictures, side, side, 3)` uint8.
        wrong_count: How many of the first pictures are the most confident errors.
        paths: Of the pictures' files, relative to the data set's root; () in older files.
        suspects: `(listed, side, side, 3)` uint8, probable label errors; None without any.
        augmented: `(pictures, strengths, side, side, 3)` uint8; None in older files.
        strengths: `(strengths,)` float; None in older files.
        heat: `(wrong_count, h, w)` float in [0, 1], where the model saw what it said; None in
            older files, and of models that do not tell.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    rows: np.ndarray
    pictures: np.ndarray
    wrong_count: int
    paths: tuple[str, ...]
    suspects: np.ndarray | None
    augmented: np.ndarray | None
    strengths: np.ndarray | None
    heat: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """A study as it was when it was read.

    Attributes:
        storage: URL without its password.
        trials: All of them, by number.
        abandoned: Numbers of the trials that are marked as running although their process is gone.
        confirmed: Number of each confirmed trial -> validation accuracy per fresh seed.
        further: Number of each winner -> the same for seeds that had no part in choosing it.
        test_evaluations: How often a model was evaluated on the test images.
        settings: The resolved configuration of the search; empty if convsearch did not make it.
        fingerprint: What must not change while the study lasts.
        space: What is searched; None if unknown.
        machines: Host -> device, precision and versions, in words.
        metrics: Of the exported model; None if there is none or they are damaged.
        predictions: On the test images; None likewise.
        missing: What of `best/` could not be read, and why, a sentence each.
    """

    place: Place
    storage: str
    read: datetime
    trials: tuple[TrialRecord, ...]
    abandoned: frozenset[int]
    confirmed: dict[int, list[float]]
    further: dict[int, list[float]]
    test_evaluations: int
    settings: dict[str, Any]
    fingerprint: dict[str, Any]
    space: Space | None
    machines: dict[str, dict[str, Any]]
    metrics: Metrics | None
    predictions: Predictions | None
    missing: tuple[str, ...]

    @property
    def epochs(self) -> int | None:
        """Epochs of a full trial, on all of its folds; None if unknown."""
        epochs = self.fingerprint.get("training", {}).get("epochs")
        folds = self.setting("data", "folds", None) or 1
        return None if epochs is None else int(epochs) * int(folds)

    @property
    def objective(self) -> str:
        """What the search maximises, for people."""
        name = str(self.setting("study", "objective", "accuracy"))
        return OBJECTIVES.get(name, name)

    @property
    def total(self) -> int | None:
        """Trials that the study should end with; None if unknown."""
        return self.settings.get("trials")

    @property
    def data_root(self) -> Path | None:
        """What the paths of pictures are relative to; None if the data set is no files."""
        dataset = Path(str(self.setting("data", "dataset", None)))
        if dataset.is_dir():
            return dataset
        return dataset.parent if dataset.is_file() else None

    def setting(self, section: str, key: str, otherwise: Any) -> Any:
        """A key of the search's configuration."""
        return self.settings.get(section, {}).get(key, otherwise)


def read_source(place: Place) -> Source:
    """Read a study.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened or holds no such study.
    """
    study = find(place, to_write=False)
    attributes = study.user_attrs
    fingerprint = attributes.get(FINGERPRINT, {})
    prefix = MACHINE.format(host="")
    machines = {n.removeprefix(prefix): m for n, m in attributes.items() if n.startswith(prefix)}
    missing: list[str] = []
    metrics, predictions = _read_best(place.folder / "best", missing)
    return Source(
        place=place, storage=shown(place.url), read=datetime.now().astimezone(),
        trials=tuple(trial_records(study)), abandoned=abandoned(study),
        confirmed=confirmations(study), further=confirmations(study, FURTHER),
        test_evaluations=int(attributes.get(TEST_EVALUATIONS, 0)),
        settings=attributes.get(SETTINGS, {}), fingerprint=fingerprint,
        space=_space(fingerprint), machines=machines,
        metrics=metrics, predictions=predictions, missing=tuple(missing),
    )  # fmt: skip


def _space(fingerprint: dict[str, Any]) -> Space | None:
    try:
        return parse_space("of the study", fingerprint["space"])
    except (KeyError, ValueError):
        return None


def _read_best(folder: Path, missing: list[str]) -> tuple[Metrics | None, Predictions | None]:
    """What a study's `best/` holds; what is missing or damaged is said and left out."""
    if not folder.is_dir():
        return None, None
    path = folder / "metrics.json"
    metrics = _attempt(path, lambda p: parse_metrics(p.read_text(encoding="utf-8")), missing)
    predictions = _attempt(folder / "evaluation.npz", _predictions, missing)
    if metrics and predictions:
        shape = metrics.test.n, len(metrics.data.classes)
        if predictions.probabilities.shape != shape:
            other = "best/evaluation.npz is not of the model that best/metrics.json describes."
            missing.append(other)
            return metrics, None
    return metrics, predictions


def _attempt(path: Path, read: Callable[[Path], Content], missing: list[str]) -> Content | None:
    try:
        return read(path)
    except FileNotFoundError:
        missing.append(f"best/{path.name} is missing.")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        missing.append(f"best/{path.name} cannot be read: {reason}.")
    return None


def _predictions(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    found = Predictions(
        held["labels"], held["probabilities"], held["picture_rows"], held["pictures"],
        int(held["wrong_count"]), tuple(held.get("picture_paths", np.array([])).tolist()),
        held.get("label_error_pictures"), held.get("augmented"), held.get("augment_strengths"),
        held.get("heat"),
    )  # fmt: skip
    fits = found.probabilities.ndim == 2 and len(found.labels) == len(found.probabilities)
    named = not found.paths or len(found.paths) == len(found.rows)
    mapped = found.heat is None or len(found.heat) == found.wrong_count
    if not (fits and named and mapped) or len(found.rows) != len(found.pictures):
        raise ValueError("its arrays do not fit together")
    return found
