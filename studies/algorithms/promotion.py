"""`Promote`: successive halving that pauses trials and takes the best of them up again.

Asynchronous: nobody waits until a rung is full (ASHA: Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020). Where new points have run out, the best of every rung goes on
even if the rung is small, so that no search ends without a trial that was trained to its end.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from records.outcome import Cause, State
from records.trial import TrialRecord, finite
from studies.attributes import trial_records
from studies.config import StudyConfig


def rungs(epochs: int, share: float, reduction: int) -> tuple[int, ...]:
    """The epochs after which trials are paused, each `reduction` times the one before.

    Args:
        epochs: Of the whole training, or with folds of the first one; none is paused after them.
        share: Of these epochs up to the first rung, in [0, 1]; at least one epoch.
        reduction: At least 2.
    """
    found, epoch = [], max(1, round(share * epochs))
    while epoch < epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)


def leading(scores: Mapping[int, float], reduction: int, least: int = 0) -> list[int]:
    """The places in the search that may go on from a rung: the best 1 / `reduction`, best first.

    Args:
        scores: Place in the search -> score at the rung; of equal ones the earlier place leads.
        reduction: At least 2.
        least: How many go on at least.
    """
    best_first = sorted(scores, key=lambda place: (-scores[place], place))
    return best_first[: max(least, len(scores) // reduction)]


class Promote(BasePruner):
    """Says which trials pause, and which paused one goes on next; it has no memory of its own.

    Trials are held against those of the same method and the same number of epochs. As long as none
    of these is complete, the best of a rung goes on, whatever the size of the rung.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._share, self._reduction = config.prune_after, config.reduction

    def is_rung(self, epoch: int, epochs: int) -> bool:
        """Whether trials of so many epochs (with folds: each) may be paused after this one."""
        return epoch in rungs(epochs, self._share, self._reduction)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to pause a trial of the study after the last epoch that it has here."""
        trials = trial_records(study)
        here = {"curve": dict(trial.intermediate_values)}
        own = trials[trial.number] = trials[trial.number].model_copy(update=here)
        epoch, alike = max(own.curve), _Alike.of(own, trials)
        if own.index is None or not self.is_rung(epoch, alike.epochs):
            return False
        return own.index not in leading(alike.scores(epoch), self._reduction, alike.least())

    def next(self, trials: Sequence[TrialRecord], *, last: bool) -> TrialRecord | None:
        """The paused trial to be taken up again; None if none is good enough.

        Of several it is the one that got furthest, and of these the best.

        Args:
            trials: All trials of the study, by number.
            last: Whether there will be no new points.
        """
        found: list[tuple[float, float, int, TrialRecord]] = []
        for alike in _groups(trials):
            least = 1 if last else alike.least()
            for rung in rungs(alike.epochs, self._share, self._reduction):
                scores = alike.scores(rung)
                for place in leading(scores, self._reduction, least):
                    trial = alike.latest[place]
                    if is_paused(trial) and max(trial.curve) == rung:
                        found.append((rung / alike.epochs, scores[place], -place, trial))
        return max(found)[-1] if found else None

    def place(self, number: int, trials: Sequence[TrialRecord]) -> str:
        """Where a trial stands that is being paused, for people to read."""
        own = trials[number]
        epoch = max(own.curve)
        scores = _Alike.of(own, trials).scores(epoch)
        rank = 1 + leading(scores, 2, len(scores)).index(own.index or 0)
        return f"paused after epoch {epoch}, as number {rank} of {len(scores)} at that rung"


def is_paused(trial: TrialRecord) -> bool:
    """Whether it waits at a rung, and stands as pruned unless it is taken up again."""
    paused = trial.state == State.PRUNED and trial.cause == Cause.PAUSED
    return paused and not trial.taken_over


def may_go_on(config: StudyConfig, trials: Sequence[TrialRecord]) -> bool:
    """Whether a paused trial is still to be taken up again when there are no new points."""
    return config.pruner == "promote" and Promote(config).next(trials, last=True) is not None


@dataclass(frozen=True)
class _Alike:
    """The trials that are held against each other.

    Attributes:
        epochs: Of each, on each fold.
        runs: By number; a trial that was run again is there several times.
        latest: Place in the search -> its last run.
    """

    epochs: int
    runs: Sequence[TrialRecord]
    latest: Mapping[int, TrialRecord]

    @classmethod
    def of(cls, trial: TrialRecord, trials: Sequence[TrialRecord]) -> "_Alike":
        """Those that are like a trial, which has a config."""
        runs = [t for t in trials if t.index is not None and _kind(t) == _kind(trial)]
        latest = {t.index: t for t in runs if t.index is not None}
        return cls((trial.config or {})["epochs"], runs, latest)

    def scores(self, rung: int) -> dict[int, float]:
        """Place in the search -> score, of all that got to a rung and did not fail since."""
        return {
            t.index: _comparable(t.curve[rung])
            for t in self.runs
            if t.index is not None
            and rung in t.curve
            and self.latest[t.index].state != State.FAILED
        }

    def least(self) -> int:
        """How many go on at least while there are new points."""
        return 0 if any(t.state == State.COMPLETE for t in self.runs) else 1


def _groups(trials: Sequence[TrialRecord]) -> Iterator[_Alike]:
    firsts: dict[object, TrialRecord] = {}
    for trial in trials:
        if trial.config is not None:
            firsts.setdefault(_kind(trial), trial)
    return (_Alike.of(first, trials) for first in firsts.values())


def _kind(trial: TrialRecord) -> tuple[str, int] | None:
    """Method and epochs; None before it has a config."""
    return None if trial.config is None else (trial.method, trial.config["epochs"])


def _comparable(score: float) -> float:
    return -math.inf if finite(score) is None else score
