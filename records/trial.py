"""`TrialRecord`: one trial of a study as plain, frozen values, whatever the study is kept in."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from records.outcome import Cause, State


class Origin(BaseModel):
    """The trial of another study that a trial is (`taken over`) or begins at (`warm start`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["taken over", "warm start"]
    study: str
    trial: int

    def __str__(self) -> str:
        return f"{self.how} from '{self.study}' trial {self.trial}"


class TrialRecord(BaseModel):
    """One trial; what only a start brings is None before.

    Attributes:
        index: Its place in the search; a trial that is run again keeps it.
        accuracy: On validation images, in [0, 1]: the result of a complete trial, the last one of
            a pruned one.
        config: The training's whole config.
        folds: How many such trainings it is in turn, each on a fold of the images.
        curve: Epoch, counted from 1 -> validation accuracy.
        history: Field of the epoch records -> one value per epoch; empty before the trial ended.
        cause: Why it was pruned or failed.
        reason: The same in words.
        worker: Host and pid of the process that ran it, as `host:pid`.
        spent: Seconds of its earlier runs, which ended in a pause.
        origin: Of which other study's trial it is a copy or has the values; None = of none.
        audited: The epoch at which the pruner would have stopped it; None = it never would.
        costs: What a complete trial cost, in the order of the study's objectives; {} where only
            the accuracy counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    index: int | None
    state: State
    accuracy: float | None
    params: dict[str, Any]
    config: dict[str, Any] | None
    curve: dict[int, float]
    history: dict[str, list[float | None]]
    cause: Cause | None = None
    reason: str | None
    folds: int = 1
    started: datetime | None
    ended: datetime | None
    worker: str | None = None
    spent: float = 0.0
    origin: Origin | None = None
    audited: int | None = None
    costs: dict[str, float] = {}

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end; None before the end."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()

    @property
    def training_seconds(self) -> float | None:
        """Wall time of all its runs together, without the pauses; None before the end."""
        return None if self.seconds is None else self.spent + self.seconds

    @property
    def taken_over(self) -> bool:
        """Whether another study ran it."""
        return self.origin is not None and self.origin.how == "taken over"

    @property
    def tried(self) -> bool:
        """Whether it is complete or pruned, in this study or in the one that it was taken from."""
        return self.state in (State.COMPLETE, State.PRUNED)

    @property
    def done(self) -> bool:
        """Whether it counts towards the total of its study: only what was trained in it does."""
        return self.tried and not self.taken_over

    @property
    def method(self) -> str:
        """What was trained: `full`, `probe` (the last layer only) or `fine_tune`."""
        return str((self.config or {}).get("method", "full"))

    @property
    def deterministic(self) -> bool:
        """Whether the same images give the same result with every seed."""
        return self.method == "probe" and self.folds == 1

    @property
    def kind(self) -> str:
        """Its state, or for a trial that no rule pruned, what did: "diverged" and the like."""
        pruned_otherwise = self.state == State.PRUNED and self.cause not in (None, Cause.RULE)
        return str(self.cause if pruned_otherwise else self.state)

    @property
    def fold_scores(self) -> tuple[float, ...]:
        """The result of every fold that was trained to its end; () without folds."""
        return tuple(v for v in self.history.get("fold_score", []) if v is not None)

    @property
    def result(self) -> float | None:
        """The accuracy of a complete trial; None for others, and where it is not finite."""
        return finite(self.accuracy) if self.state == State.COMPLETE else None


def finite(value: float | None) -> float | None:
    """The value, or None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def ranked(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials with a result, best first; of equal ones the cheaper, then the earlier first."""
    known = [trial for trial in trials if trial.result is not None]
    return sorted(known, key=lambda t: (-(t.result or 0.0), *t.costs.values(), t.number))


def front(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The Pareto front: trials that no other one beats in accuracy and all costs together.

    Best accuracy first; of trials that are equal in everything, only the earliest. Empty where
    nobody asked for costs.
    """
    kept: list[TrialRecord] = []
    for trial in ranked(trials):  # Whatever beats one comes before it.
        if trial.costs and not any(_no_dearer(one, trial) for one in kept):
            kept.append(trial)
    return kept


def _no_dearer(one: TrialRecord, other: TrialRecord) -> bool:
    return all(one.costs[name] <= cost for name, cost in other.costs.items())


def knee(found: Sequence[TrialRecord]) -> TrialRecord | None:
    """The trial of a front from which on more accuracy costs most; None of an empty one.

    Accuracy and the logarithms of the costs are scaled to [0, 1] over the front. The knee lies
    farthest above the line (or plane) through the best trial of each (Das, 1999: "On
    characterizing the knee of the Pareto curve"), which is where the scaled values add up to most.
    """
    if not found:
        return None
    sides = [[t.result or 0.0 for t in found]]
    sides += [[-math.log(max(t.costs[name], 1e-12)) for t in found] for name in found[0].costs]
    sums = [sum(values) for values in zip(*map(_scaled, sides), strict=True)]
    return found[sums.index(max(sums))]


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
