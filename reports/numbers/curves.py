"""Learning curves of all trials, and the bar that the pruner holds them against."""

from collections.abc import Sequence

import numpy as np

from records.trial import TrialRecord, finite
from reports.numbers.base import Numbers


class Curve(Numbers):
    """One trial, epoch by epoch."""

    number: int
    kind: str
    epochs: tuple[int, ...]
    """Counted from 1."""

    values: tuple[float | None, ...]
    """Validation accuracy; None where it was not finite."""


class BarPoint(Numbers):
    """The pruner's bar in one epoch, as it stands now."""

    epoch: int
    value: float
    n: int
    """Complete trials that it is taken from."""


class Curves(Numbers):
    """All curves, and the bar."""

    curves: tuple[Curve, ...]
    bar: tuple[BarPoint, ...]
    """Empty if the pruner has no such bar, or nothing is complete."""

    bar_name: str
    looks: tuple[int, ...]
    """Epochs after which the pruner looks at a trial."""


def curves(
    trials: Sequence[TrialRecord], pruner: str, keep: float, prune_after: float, epochs: int | None
) -> Curves:
    """The curves of all trials that reported anything.

    Args:
        trials: All trials.
        pruner: Name of the pruner.
        keep: Share of the complete trials not to fall behind with `percentile`.
        prune_after: Share of the epochs without pruning, and between two looks.
        epochs: Epochs of a full training; None = as many as the longest curve has.
    """
    shown = [t for t in trials if t.curve and t.state != "requeued"]
    epochs = epochs or max((max(t.curve) for t in shown), default=0)
    quantile = {"median": 0.5, "percentile": 1 - keep}.get(pruner)
    return Curves(
        curves=tuple(map(_curve, shown)),
        bar=() if quantile is None else bar(shown, quantile),
        bar_name="median of the complete trials"
        if pruner == "median"
        else f"{1 - keep:.0%} quantile of the complete trials",
        looks=() if quantile is None else looks(prune_after, epochs),
    )


def looks(prune_after: float, epochs: int) -> tuple[int, ...]:
    """The epochs after which `median` and `percentile` look at a trial; it ends in the last."""
    quiet = max(1, round(prune_after * epochs))
    return tuple(range(quiet + 1, epochs, quiet))


def bar(trials: Sequence[TrialRecord], quantile: float) -> tuple[BarPoint, ...]:
    """The quantile of the complete trials' accuracy in each epoch; values that are not finite are
    left out, as Optuna does."""
    by_epoch: dict[int, list[float]] = {}
    for trial in trials:
        for epoch, value in trial.curve.items() if trial.state == "complete" else ():
            if finite(value) is not None:
                by_epoch.setdefault(epoch, []).append(value)
    return tuple(
        BarPoint(epoch=epoch, value=float(np.quantile(values, quantile)), n=len(values))
        for epoch, values in sorted(by_epoch.items())
    )


def _curve(trial: TrialRecord) -> Curve:
    points = sorted(trial.curve.items())
    return Curve(
        number=trial.number,
        kind=trial.kind,
        epochs=tuple(epoch for epoch, _ in points),
        values=tuple(finite(value) for _, value in points),
    )
