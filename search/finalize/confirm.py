"""Confirmation: the best trials trained again with fresh seeds, to undo the luck of the search.

The best of a hundred noisy results is partly the luckiest. Trained again, each of the best trials
is judged by seeds that nobody picked. The best mean of a few is partly luck too. So the winner is
trained with as many further seeds, which had no part in any choice, and only these say how good
it is. A correction of the first mean would need no training, but would have to know how much
trials and seeds differ, of which nine trainings tell little (`benchmarks.selection_gap`).
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from optuna.study import Study

from records.outcome import Cause, EpochRecord, Outcome, State
from records.statistics import Spread
from records.trial import TrialRecord
from search.finalize.calibrate import keep_predictions
from search.plan import Plan
from search.plan.ration import repeats
from search.workers.events import Began, Ended, EpochEnded, Event
from search.workers.training_files import checkpoint_of_confirmation
from search.workers.worker import Worker
from studies.algorithms import seed_for
from studies.attributes import CONFIRMED, FURTHER
from train_core import Diverged, OutOfMemory
from train_core.config import TrainConfig
from train_core.data.config import DataConfig

if TYPE_CHECKING:
    from train_core.checkpoint import Checkpoint
    from train_core.engine import Folds

Follow = Callable[[Iterable[EpochRecord]], Iterator[EpochRecord]]


@dataclass(frozen=True)
class Candidate:
    """A trial with the accuracies of its confirmations."""

    trial: TrialRecord
    accuracies: tuple[float, ...]  # What is maximised, in [0, 1], per seed; 0 = it diverged.
    further: tuple[float, ...] = ()  # The same with seeds that had no part in choosing it.

    @property
    def chosen_by(self) -> Spread:
        """Mean and deviation with the seeds that all candidates share: they decide who wins."""
        return Spread.of(self.accuracies)

    @property
    def confirmed(self) -> Spread:
        """Mean and deviation that no choice has raised: of further seeds, or without rivals."""
        return Spread.of(self.further or self.accuracies)

    @property
    def selection_gap(self) -> float:
        """What the search claimed above the mean of the seeds that all candidates share.

        Nothing but the search has chosen its best trial, so of this one it is the search's luck.
        """
        return (self.trial.accuracy or 0.0) - self.chosen_by.mean


@dataclass(frozen=True)
class Confirm:
    """The task of training one of the best trials once more."""

    plan: Plan
    trial: int  # Its number.
    seed: int  # Counts the confirmations of one trial from 0.
    config: TrainConfig  # The trial's training, with the fresh seed.
    further: bool = False  # Whether the trial is already chosen.

    @property
    def attribute(self) -> str:
        """The study's attribute that keeps the accuracy."""
        return (FURTHER if self.further else CONFIRMED).format(trial=self.trial, seed=self.seed)

    @property
    def _data(self) -> DataConfig:
        """The images, in folds that the search has not seen: a probe has no other luck."""
        data = self.plan.config.data
        fresh = {"fold_seed": self.config.seed}
        return data.model_copy(update=fresh) if self.plan.folds > 1 else data

    def run(self, worker: Worker) -> Generator[Event, None, tuple["Confirm", float | None]]:
        """Train in this worker; the accuracy is None when the session is stopping."""
        folds = worker.folds(self.plan.data, self._data, self.plan.config.study.objective)
        checkpoint = checkpoint_of_confirmation(self.plan, self.trial, self.seed, self.further)
        further = "further " if self.further else ""
        job = f"confirm trial {self.trial}, {further}seed {self.seed + 1}"
        follow = partial(self._keep_predictions, folds)
        outcome = yield from train(job, self.config, folds, worker, checkpoint, follow)
        if outcome.state == State.REQUEUED:
            return self, None
        return self, outcome.score or 0.0

    def _keep_predictions(
        self, folds: "Folds", records: Iterable[EpochRecord]
    ) -> Iterator[EpochRecord]:
        """The same records; what a fold's network predicts is kept as long as it is there."""
        keep = partial(keep_predictions, self.plan, self.trial, self.config, folds)
        for record in records:
            fold = folds.trained
            if fold is not None and fold == record.fold and record.fold_score is not None:
                keep(fold)
            yield record
        if len(folds) == 1:
            keep(1)


def train(
    job: str,
    config: TrainConfig,
    folds: "Folds",
    worker: Worker,
    checkpoint: "Checkpoint",
    follow: Follow = iter,
) -> Generator[Event, None, Outcome]:
    """A training that is no trial; the weights of its last fold stay in its engine.

    What `follow` gives is reported in the place of the records.

    Returns:
        COMPLETE; FAILED without epochs, if it diverged; REQUEUED when the session is stopping,
        with a checkpoint to go on from.
    """
    from train_core.fit import fit_folds

    history: list[EpochRecord] = []
    yield Began(job, config.describe(), config.epochs * len(folds))
    try:
        for record in follow(fit_folds(config, folds, checkpoint)):
            history.append(record)
            speed = record.images_per_second
            yield EpochEnded(job, record.epoch, record.score, speed, record.seconds)
            worker.share_cores()
            if worker.stopping:
                checkpoint.write()
                return Outcome(State.REQUEUED, tuple(history))
        outcome = Outcome(State.COMPLETE, tuple(history))
    except Diverged as stopped:
        outcome = Outcome(State.FAILED, cause=Cause.DIVERGED, reason=str(stopped))
    except OutOfMemory:
        # It says nothing about the trial: the search ends, and its next start tries again.
        folds.clear()
        raise
    yield Ended(job, outcome)
    return outcome


def missing(plan: Plan, study: Study, top: Sequence[TrialRecord]) -> list[Confirm]:
    """The confirmations, by which the winner is chosen, that the study does not have yet."""
    tasks = [_task(plan, trial, seed) for trial in top for seed in _seeds(plan, trial)]
    return [task for task in tasks if task.attribute not in study.user_attrs]


def missing_further(plan: Plan, study: Study, winner: TrialRecord) -> list[Confirm]:
    """The trainings with further seeds that the study does not have yet."""
    tasks = [_task(plan, winner, s, further=True) for s in _further(plan, winner)]
    return [task for task in tasks if task.attribute not in study.user_attrs]


def candidates(plan: Plan, study: Study, top: Sequence[TrialRecord]) -> list[Candidate]:
    """The confirmed trials, best mean first; of equal ones the one that the search had first."""
    known = study.user_attrs
    names = [[CONFIRMED.format(trial=t.number, seed=s) for s in _seeds(plan, t)] for t in top]
    found = [Candidate(t, tuple(known[n] for n in of)) for t, of in zip(top, names, strict=True)]
    return best_first(found)


def best_first(found: Sequence[Candidate]) -> list[Candidate]:
    """The order in which candidates win; of equal ones the earlier one is first."""
    return sorted(found, key=lambda candidate: -candidate.chosen_by.mean)


def with_further(plan: Plan, study: Study, winner: Candidate) -> Candidate:
    """The winner with the accuracies of its further seeds, which the study must have."""
    names = [
        FURTHER.format(trial=winner.trial.number, seed=seed)
        for seed in _further(plan, winner.trial)
    ]
    return replace(winner, further=tuple(study.user_attrs[name] for name in names))


def confirmation_config(
    plan: Plan, trial: TrialRecord, seed: int, *, further: bool = False
) -> TrainConfig:
    """The trial's training with a seed that all confirmed trials share and no trial had."""
    assert trial.config is not None
    fresh = seed_for(plan.config.study.seed, 5 if further else 3, seed)
    return plan.training_of(trial.config, seed=fresh)


def _seeds(plan: Plan, trial: TrialRecord) -> range:
    """The confirmations of a trial; of one without a random part, all would be the same."""
    return range(repeats(trial, plan.config.confirm.seeds))


def _further(plan: Plan, winner: TrialRecord) -> range:
    return range(0 if winner.deterministic else plan.config.confirm.further)


def _task(plan: Plan, trial: TrialRecord, seed: int, *, further: bool = False) -> Confirm:
    config = confirmation_config(plan, trial, seed, further=further)
    return Confirm(plan, trial.number, seed, config, further)
