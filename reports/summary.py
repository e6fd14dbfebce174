"""`Summary`: all numbers of a report, worked out once, for `summary.json` and for the page."""

from datetime import datetime

from records.trial import ranked
from reports.exported import ClassQuality, Exported, Metrics, Predictions
from reports.numbers.answer import Answer, answer
from reports.numbers.base import Numbers
from reports.numbers.cost import Cost, cost
from reports.numbers.curves import Curves, curves
from reports.numbers.history import Point, Timeline, history, timeline
from reports.numbers.more import More, more
from reports.numbers.origin import Origin, origin
from reports.numbers.pruning import Pruning, pruning
from reports.numbers.ranges import Range, ranges
from reports.numbers.seeds import Seeds, seeds
from reports.numbers.tested import (
    Confused,
    Reliability,
    most_confused,
    reliability,
    row_shares,
)
from reports.numbers.wrong import Seen, examples, most_confident_errors
from reports.replica import Importances, importances, replica
from reports.source import Source

_EXAMPLES, _PAIRS = 320, 10


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
    errors: tuple[Seen, ...]
    examples: dict[str, tuple[Seen, ...]]
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

    answer: Answer | None
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


def summarise(source: Source, exported: Exported) -> Summary:
    """Work out all numbers."""
    trials, epochs = source.trials, source.epochs
    order, spread = ranked(trials), seeds(source.confirmed, trials)
    drawn = curves(
        trials,
        source.setting("study", "pruner", "none"),
        source.setting("study", "keep", 0.75),
        source.setting("study", "prune_after", 1 / 6),
        epochs,
    )
    paid, bar = cost(trials, source.total, epochs), {p.epoch: p.value for p in drawn.bar}
    copy = None if source.space is None else replica(trials, source.space)
    return Summary(
        study=source.name,
        read=source.read,
        state=_state(source, paid, exported.metrics is not None),
        missing=tuple(exported.missing),
        answer=answer(exported.metrics, spread, order, None),
        test_evaluations=source.test_evaluations,
        cost=paid,
        pruned_share=paid.pruned_share,
        epochs_saved=paid.epochs_saved,
        history=history(trials),
        curves=drawn,
        timeline=timeline(trials, source.read.replace(tzinfo=None)),
        importances=None if copy is None else importances(copy),
        ranges=ranges(trials, source.space),
        pruning=pruning(trials, drawn.looks, bar, epochs),
        seeds=spread,
        more=more(trials),
        model=_model(exported.metrics, exported.predictions),
        origin=origin(source, exported.metrics),
    )


def _state(source: Source, paid: Cost, exported: bool) -> str:
    running = paid.counts.get("running", 0) - len(source.abandoned)
    of = f" of {paid.total}" if paid.total else ""
    done = f"{paid.done}{of} trials done"
    if running > 0:
        return f"running: {done}, {running} in training"
    if paid.total is not None and paid.done >= paid.total:
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
        classes=tuple(classes),
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
