"""`Metrics`: the one schema of `best/metrics.json`, written by the search, read by everybody."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from records.evaluation import Calibration, Evaluation, FamiliarityFacts, LabelErrors, left_out
from records.evaluation import Record as _Record
from records.files import write_whole
from records.findings import Findings
from records.pixels import Fit
from records.statistics import (
    Estimate,
    Spread,
    confirmed,
    few_validation_images,
    in_words,
    over_folds,
    validated,
)
from records.words import OBJECTIVES, costs, percent, points, score

# Raise it when a reader of today could no longer use the file, or `model.onnx` beside it.
FORMAT: Literal[1] = 1


class SearchBest(_Record):
    """The trial that was best in the search, whether or not it won, and what fresh seeds say."""

    trial: int
    accuracy: float
    confirmed: Spread

    @property
    def selection_gap(self) -> float:
        """What the search claimed above the mean with fresh seeds: its luck."""
        return self.accuracy - self.confirmed.mean


class SearchFacts(_Record):
    """The search that found the model.

    Attributes:
        best: None where an earlier version wrote it.
        candidates: Trials that were confirmed.
        test_evaluations: How often it has evaluated a model on the test images, with this time.
        picked: What chose the trial instead of its confirmations: "knee" of the front, or "by
            number"; None = nothing did.
    """

    study: str
    recipe: str | None = None
    space: str | None = None
    sampler: str | None = None
    pruner: str | None = None
    seed: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    candidates: int = 0
    test_evaluations: int = 1
    best: SearchBest | None = None
    picked: str | None = None

    @property
    def tried(self) -> int:
        """Trials of which the winner is one of the best."""
        return self.complete + self.pruned


class WeightsFacts(_Record):
    """The file of weights that the training began with: where from, on what terms, its hash."""

    source: str
    licence: str
    sha256: str


class PartFacts(_Record):
    """One part of the data set: images, and the hash of images and labels as in the cache."""

    count: int
    sha256: str


class DataFacts(_Record):
    """The data set.

    Attributes:
        image_size: Side in pixels of the pictures that the model takes.
        crop_size: Side of their centre, which is what it looks at; None = all of it.
        fit: How pictures become squares, see `records.pixels`.
    """

    name: str
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=1)
    crop_size: int | None = None
    fit: Fit = "crop"
    train: PartFacts
    test: PartFacts
    findings: Findings | None = None

    @property
    def crop(self) -> float:
        """Side of the centre that the model looks at, as a share of the picture's."""
        return (self.crop_size or self.image_size) / self.image_size


class Validated(_Record):
    """The search's result (`accuracy`, or what was maximised instead), of how many images, and
    over folds, if there were any."""

    accuracy: float
    n: int
    folds: Spread | None = None


class Metrics(_Record):
    """The content of `best/metrics.json`.

    Attributes:
        test_tta: With mirrored views averaged; None where mirroring makes no sense.
        test_without_copies: Of the test images whose pixels no training image has; None where all
            or none of them are such.
        familiarity: Whether test images look like training images to it; None if not measured.
        label_errors: Probably wrong labels; None where no held-out predictions were kept.
        confirmed: With seeds that had no part in choosing it (0.1.0: with those that chose it).
        selection_gap: What the search claimed above the mean with fresh seeds, for its best trial
            (`search.best`; in 0.1.0 for the winner).
        onnx_difference: The largest difference of a probability between ONNX and PyTorch.
        device: What the model was trained on.
        objective: What the search maximised; the figures of search and confirmations are of it.
        test_score: The same of the test images; None where that is the accuracy.
        weights: What its training began with; None = drawn at random.
        maps: Height and width of the class-activation maps that `model.onnx` computes, or why it
            computes none, a sentence; None in files of earlier versions.
        costs: What was kept low in the search, as the trial had it; see `records.words.Cost`.
    """

    format: Literal[1] = FORMAT
    created: str
    search: SearchFacts
    trial: int
    params: dict[str, Any]
    validation: Validated
    confirmed: Spread
    test: Evaluation
    test_tta: Evaluation | None = None
    test_without_copies: Evaluation | None = None
    calibration: Calibration = Calibration()
    familiarity: FamiliarityFacts | None = None
    label_errors: LabelErrors | None = None
    selection_gap: float
    training: dict[str, Any]
    curves: dict[str, list[float | None]]
    data: DataFacts
    parameters: int
    versions: dict[str, str]
    onnx_difference: float | None = None
    device: str = "not recorded"
    weights: WeightsFacts | None = None
    objective: str = "accuracy"
    test_score: float | None = None
    maps: tuple[int, int] | str | None = None
    costs: dict[str, float] = Field(default_factory=dict)

    @property
    def estimates(self) -> tuple[Estimate, Estimate, Estimate]:
        """From what the search claimed to what the test says."""
        low, high = self.test.interval_95
        test = Estimate(
            name="test", accuracy=self.test.accuracy, low=low, high=high,
            interval="95 % interval", n=self.test.n, of="test images",
        )  # fmt: skip
        if self.test_score is not None:
            why = f"no interval of a {OBJECTIVES.get(self.objective, self.objective)} is known"
            change = {"accuracy": self.test_score, "low": None, "high": None, "interval": why}
            test = test.model_copy(update=change)
        validation = validated(self.validation.accuracy, self.validation.n, self.search.tried)
        return validation, confirmed(self.confirmed), test


def read_metrics(folder: Path) -> Metrics:
    """Read `metrics.json` of a `best/` folder.

    Raises:
        OSError: There is none that can be read.
        ValueError: It is not what a search exported, or of another format.
    """
    path = folder / "metrics.json"
    try:
        return parse_metrics(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' must be what a search exported, but: {error}") from None


def parse_metrics(text: str) -> Metrics:
    """The metrics in the text of a `metrics.json`.

    Raises:
        ValueError: In a few words, if it holds something else, or is of another format.
    """
    values = json.loads(text)
    made = values.get("format") if isinstance(values, dict) else None
    if made is not None and made != FORMAT:
        raise ValueError(
            f"exports of format {FORMAT} can be read, and this one has format {made}: use the "
            f"version of convsearch that made it, or a newer one"
        )
    try:
        return Metrics.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def exported(folder: Path) -> Metrics | None:
    """What `read_metrics` reads; None if nothing was exported there."""
    try:
        return read_metrics(folder)
    except FileNotFoundError:
        return None


def write_metrics(folder: Path, metrics: Metrics) -> None:
    """Write `metrics.json`, in one step: somebody may be reading it."""
    # Only what is known: a file of an earlier version gets no values that nobody measured.
    content = {"format": FORMAT, **metrics.model_dump(mode="json", exclude_unset=True)}
    for name in ("test_tta", "test_without_copies"):  # Absent and not null, as in all files.
        if getattr(metrics, name) is None:
            content.pop(name, None)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_whole(folder / "metrics.json", text)


def figures(metrics: Metrics) -> Iterator[tuple[str, str]]:
    """The figures that matter, name and value in words, for console, card and dashboard."""
    searched, *_ = metrics.estimates
    name = OBJECTIVES.get(metrics.objective, metrics.objective)
    of = f"n = {searched.n}"
    if (folds := metrics.validation.folds) is not None:
        of += f" in {over_folds(folds)}"
    claim = f"{score(searched.accuracy, metrics.objective)} ({searched.interval}, {of})"
    yield f"validation {name} in the search", claim
    if few := few_validation_images(metrics.validation.n):
        yield "caution", few
    yield "confirmed with fresh seeds", in_words(metrics.confirmed)
    yield "selection gap (luck of the search)", gap_in_words(metrics)
    if metrics.costs:
        yield "kept low in the search", costs(metrics.costs)
    if metrics.test_score is not None:
        yield f"test {name}", score(metrics.test_score, metrics.objective)
    test, (low, high) = metrics.test, map(percent, metrics.test.interval_95)
    interval = f"95 % interval {low} to {high}"
    yield "test accuracy", f"{percent(test.accuracy)} ({interval}, n = {test.n})"
    if (rest := metrics.test_without_copies) is not None:
        low, high = map(percent, rest.interval_95)
        text = f"{percent(rest.accuracy)} (95 % interval {low} to {high}, n = {rest.n})"
        yield "test accuracy without copies of training images", text
    yield from _of_classes(metrics)
    yield from _of_trust(metrics)


def _of_classes(metrics: Metrics) -> Iterator[tuple[str, str]]:
    macro = metrics.test.macro_tested
    if metrics.test.unequal:
        recall = percent(macro.recall)
        yield "macro recall", f"{recall} (classes differ in size; here each counts alike)"
    if metrics.test_tta is not None:
        yield "with mirrored views averaged", percent(metrics.test_tta.accuracy)
    values = ", ".join(percent(value) for value in (macro.precision, macro.recall, macro.f1))
    yield "macro precision, recall, F1", values
    if (untested := left_out(metrics.test)) is not None:
        yield "classes without test images", untested


def _of_trust(metrics: Metrics) -> Iterator[tuple[str, str]]:
    error, done = percent(metrics.test.calibration_error), metrics.calibration
    if done.temperature != 1.0:  # As it is in models from before there was any calibration.
        error += f" ({percent(done.error_before)} before temperature {done.temperature:.2f})"
    yield "calibration error", error
    if (own := metrics.familiarity) is not None:
        said = f"{percent(own.share)} of {own.n} test images ({percent(own.wanted)} wanted)"
        yield "called unlike the training images", said
    if metrics.label_errors is not None:
        yield "probable label errors", metrics.label_errors.in_words()


def gap_in_words(metrics: Metrics) -> str:
    """The selection gap, and of which trial it is."""
    gap, best = points(metrics.selection_gap), metrics.search.best
    if best is None:
        return gap
    searched, again = percent(best.accuracy), in_words(best.confirmed)
    return f"{gap} (trial {best.trial}: {searched} in the search, then {again})"
