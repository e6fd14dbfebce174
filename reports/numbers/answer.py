"""The answer first: the winner, and how good it is."""

from collections.abc import Sequence
from typing import Any

from records.trial import TrialRecord
from reports.exported import Metrics
from reports.numbers.base import Numbers
from reports.numbers.seeds import Seeds


class Estimate(Numbers):
    """An accuracy, with what is known of its uncertainty."""

    name: str
    accuracy: float
    low: float | None
    """None when nothing is known of the spread."""

    high: float | None
    interval: str
    """What `low` and `high` are."""

    n: int | None
    of: str
    """What is counted by n."""


class Answer(Numbers):
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


def answer(
    metrics: Metrics | None, seeds: Seeds, order: Sequence[TrialRecord], validation: int | None
) -> Answer | None:
    """The winner as far as it is known; None without a complete trial.

    Args:
        metrics: Of the export.
        seeds: The confirmations.
        order: The complete trials, best first.
        validation: Validation images, if known.
    """
    if metrics is not None:
        return _exported(metrics, seeds)
    by_number = {t.number: t for t in order}
    confirmed = [c for c in seeds.candidates if c.number in by_number]
    winner = by_number[confirmed[0].number] if confirmed else (order[0] if order else None)
    if winner is None:
        return None
    value = winner.result
    assert value is not None
    estimates = [_validated(value, validation)]
    if confirmed:
        c = confirmed[0]
        estimates.append(_confirmed(c.mean, c.std, c.n))
    return Answer(
        trial=winner.number,
        decided_by="confirmation" if confirmed else "the search alone",
        params=winner.params,
        estimates=tuple(estimates),
        selection_gap=value - confirmed[0].mean if confirmed else None,
        stale=False,
    )


def accuracy_interval(hits: int, count: int) -> tuple[float, float]:
    """The Wilson interval that holds the true accuracy with 95 % confidence."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _exported(metrics: Metrics, seeds: Seeds) -> Answer:
    low, high = metrics.test.interval_95
    confirmed = metrics.confirmed
    test = Estimate(
        name="test", accuracy=metrics.test.accuracy, low=low, high=high, interval="95 % interval",
        n=metrics.test.n, of="test images",
    )  # fmt: skip
    return Answer(
        trial=metrics.trial,
        decided_by="confirmation",
        params=metrics.params,
        estimates=(
            _validated(metrics.validation.accuracy, metrics.validation.n),
            _confirmed(confirmed.mean, confirmed.std, confirmed.n),
            test,
        ),
        selection_gap=metrics.selection_gap,
        stale=bool(seeds.candidates) and seeds.candidates[0].number != metrics.trial,
    )


def _validated(accuracy: float, n: int | None) -> Estimate:
    low, high = accuracy_interval(round(accuracy * n), n) if n else (None, None)
    return Estimate(
        name="in the search", accuracy=accuracy, low=low, high=high, interval="95 % interval",
        n=n, of="validation images",
    )  # fmt: skip


def _confirmed(mean: float, std: float | None, n: int) -> Estimate:
    low, high = (None, None) if std is None else (mean - std, mean + std)
    return Estimate(
        name="confirmed", accuracy=mean, low=low, high=high, interval="± one standard deviation",
        n=n, of="fresh seeds",
    )  # fmt: skip
