"""`Summary`: all numbers of a report, worked out once, for `summary.json` and for the page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from records.metrics import ClassQuality, Estimate, Metrics, confirmed, validated
from records.statistics import Spread
from records.trial import TrialRecord, ranked
from reports.numbers import Numbers
from reports.numbers.cost import Cost, More, cost, more
from reports.numbers.diagnosis import Pruning, Seeds, pruning, seeds
from reports.numbers.model import (
    Confused,
    Picture,
    Reliability,
    examples,
    most_confident_errors,
    most_confused,
    reliability,
    row_shares,
)
from reports.numbers.origin import Origin, origin
from reports.numbers.parameters import Importances, Range, importances, ranges, replica
from reports.numbers.trials import Curves, Point, Timeline, curves, history, timeline
from reports.source import Predictions, Source

_EXAMPLES, _PAIRS = 320, 10


class Winner(Numbers):
    """The winner: of the export, else of the confirmations, else of the search."""

    trial: int
    decided_by: str
    params: dict[str, Any]
    estimates: tuple[Estimate, ...]
    """From what the search claimed to what the test says, as far as it is there."""

    selection_gap: float | None
    """What the search claimed above the mean with fresh seeds."""

    stale: bool
    """Whether the study has moved on since the export: another trial would win now."""


class Model(Numbers):
    """The exported model on the test images; what the predictions say is None without them."""

    description: str
    parameters: int
    classes: tuple[str, ...]
    curves: dict[str, list[float | None]]
    per_class: dict[str, ClassQuality]
    macro_f1: float
    confusion: list[list[int]]
    confusion_shares: list[list[float | None]]
    confused: tuple[Confused, ...]
    mirrored_accuracy: float | None
    """With mirrored views averaged."""

    reliability: Reliability | None
    errors: tuple[Picture, ...]
    examples: dict[str, tuple[Picture, ...]]
    strengths: tuple[float, ...]
    """Strengths of augmentation that there are pictures of; the model's own among them."""

    augment: float | None


class Summary(Numbers):
    """All numbers of a report."""

    study: str
    read: datetime
    state: str
    """How the study stands, in words."""

    missing: tuple[str, ...]
    """What could not be read, a sentence each."""

    winner: Winner | None
    test_evaluations: int
    cost: Cost
    pruned_share: float | None
    epochs_saved: float | None
    history: tuple[Point, ...]
    curves: Curves
    timeline: Timeline
    importances: Importances | None
    """None when the space is not known."""

    ranges: tuple[Range, ...]
    pruning: Pruning
    seeds: Seeds
    more: More
    model: Model | None
    origin: Origin


def summarise(source: Source) -> Summary:
    """Work out all numbers."""
    trials, epochs, exported = source.trials, source.epochs, source.exported
    confirmations = seeds(source.confirmed, trials)
    drawn = curves(
        trials,
        source.setting("study", "pruner", "none"),
        source.setting("study", "keep", 0.75),
        source.setting("study", "prune_after", 1 / 6),
        epochs,
    )
    paid, thresholds = (
        cost(trials, source.total, epochs),
        {p.epoch: p.value for p in drawn.thresholds},
    )
    space = source.space
    return Summary(
        study=source.place.name,
        read=source.read,
        state=_state(source, paid),
        missing=exported.missing,
        winner=winner(exported.metrics, confirmations, trials),
        test_evaluations=source.test_evaluations,
        cost=paid,
        pruned_share=paid.pruned_share,
        epochs_saved=paid.epochs_saved,
        history=history(trials),
        curves=drawn,
        timeline=timeline(trials, source.read.replace(tzinfo=None)),
        importances=None if space is None else importances(replica(trials, space)),
        ranges=ranges(trials, space),
        pruning=pruning(trials, drawn.checks, thresholds, epochs),
        seeds=confirmations,
        more=more(trials),
        model=_model(exported.metrics, exported.predictions),
        origin=origin(source),
    )


def winner(metrics: Metrics | None, seeds: Seeds, trials: Sequence[TrialRecord]) -> Winner | None:
    """The winner as far as it is known; None without a complete trial.

    Args:
        metrics: Of the export.
        seeds: The confirmations.
        trials: All trials.
    """
    if metrics is not None:
        leader = seeds.candidates[0].number if seeds.candidates else metrics.trial
        return Winner(
            trial=metrics.trial, decided_by="confirmation", params=metrics.params,
            estimates=metrics.estimates, selection_gap=metrics.selection_gap,
            stale=leader != metrics.trial,
        )  # fmt: skip
    order = ranked(trials)
    known = {t.number: t for t in order}
    first = next((c for c in seeds.candidates if c.number in known), None)
    if not order:
        return None
    best = known[first.number] if first else order[0]
    assert best.result is not None
    claim = validated(best.result, None)
    return Winner(
        trial=best.number, decided_by="confirmation" if first else "the search alone",
        params=best.params,
        estimates=(claim, confirmed(Spread.of(first.confirmed))) if first else (claim,),
        selection_gap=best.result - first.mean if first else None, stale=False,
    )  # fmt: skip


def _state(source: Source, paid: Cost) -> str:
    running = paid.counts.get("running", 0) - len(source.abandoned)
    of = f" of {paid.total}" if paid.total else ""
    done = f"{paid.done}{of} trials done"
    if running > 0:
        return f"running: {done}, {running} in training"
    if paid.total is not None and paid.done >= paid.total:
        exported = source.exported.metrics is not None
        return f"finished: {done}" if exported else f"searched: {done}, nothing exported yet"
    return f"stopped: {done}" if source.trials else "not begun: no trials yet"


def _model(metrics: Metrics | None, kept: Predictions | None) -> Model | None:
    if metrics is None:
        return None
    test, classes, training = metrics.test, metrics.data.classes, metrics.training
    strengths = () if kept is None or kept.strengths is None else kept.strengths.tolist()
    return Model(
        description=f"{training.get('network')} of width {training.get('width')} and depth "
        f"{training.get('depth')}",
        parameters=metrics.parameters,
        classes=classes,
        curves=metrics.curves,
        per_class=test.per_class,
        macro_f1=test.macro.f1,
        confusion=test.confusion_matrix,
        confusion_shares=row_shares(test.confusion_matrix),
        confused=most_confused(test.confusion_matrix, classes, _PAIRS),
        mirrored_accuracy=metrics.test_tta.accuracy if metrics.test_tta else None,
        reliability=reliability(kept.labels, kept.probabilities) if kept else None,
        errors=most_confident_errors(kept, classes) if kept else (),
        examples=examples(kept, classes, _EXAMPLES) if kept else {},
        strengths=tuple(strengths),
        augment=training.get("augment"),
    )
