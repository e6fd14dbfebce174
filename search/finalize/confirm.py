"""Confirmation: the best trials trained again with fresh seeds, to undo the luck of the search.

The best of a hundred noisy results is partly the luckiest. Trained again, each candidate is
judged by seeds that nobody picked.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study

from records.outcome import Cause, EpochRecord, Outcome, State
from records.trial import TrialRecord
from search.export.evaluation import mean_and_std
from search.finalize.held_out import keep_predictions
from search.plan import Plan
from search.workers.checkpoints import checkpoint_of_confirmation
from search.workers.events import Began, Ended, EpochEnded, Event
from search.workers.worker import Worker
from studies.attributes import CONFIRMED
from studies.sampler import seed_for
from train_core.config import TrainConfig
from train_core.errors import Diverged, OutOfMemory


@dataclass(frozen=True)
class Candidate:
    """A trial with the accuracies of its confirmations.

    Attributes:
        trial: The trial.
        accuracies: Validation accuracy in [0, 1] per seed; 0 for one that diverged.
    """

    trial: TrialRecord
    accuracies: tuple[float, ...]

    @property
    def confirmed(self) -> dict[str, Any]:
        """Mean, sample standard deviation and count."""
        return mean_and_std(self.accuracies)


@dataclass(frozen=True)
class Confirm:
    """The task of training a candidate once more.

    Attributes:
        plan: The search.
        trial: Number of the trial.
        seed: Counts the confirmations of one candidate from 0.
        config: The trial's training, with the fresh seed.
    """

    plan: Plan
    trial: int
    seed: int
    config: TrainConfig

    @property
    def job(self) -> str:
        """What it is called."""
        return f"confirm trial {self.trial}, seed {self.seed + 1}"

    def run(self, worker: Worker) -> Generator[Event, None, tuple["Confirm", float | None]]:
        """Train in this worker; the accuracy is None when the session is stopping."""
        from train_core.fit import fit

        engines = worker.engines(self.plan.data, self.plan.config.data)
        checkpoint = checkpoint_of_confirmation(self.plan, self.trial, self.seed)
        yield Began(self.job, self.config.describe(), self.config.epochs)
        history: list[EpochRecord] = []
        try:
            for record in fit(self.config, engines.data, engines, checkpoint):
                history.append(record)
                accuracy, speed = record.val_accuracy, record.images_per_second
                yield EpochEnded(self.job, record.epoch, accuracy, speed)
                worker.share_cores()
                if worker.stopping:
                    checkpoint.write()
                    return self, None
        except Diverged as stopped:
            failed = Outcome(State.FAILED, cause=Cause.DIVERGED, reason=str(stopped))
            yield Ended(self.job, failed)
            return self, 0.0
        except OutOfMemory:
            # It says nothing about the candidate: the search ends, and its next start tries again.
            engines.clear()
            raise
        keep_predictions(self.plan, self.trial, self.config, engines)
        outcome = Outcome(State.COMPLETE, tuple(history))
        yield Ended(self.job, outcome)
        return self, outcome.accuracy or 0.0


def missing(plan: Plan, study: Study, top: Sequence[TrialRecord]) -> list[Confirm]:
    """The confirmations that the study does not have yet."""
    wanted = [(t, seed) for t in top for seed in range(plan.config.confirm.seeds)]
    known = study.user_attrs
    return [
        Confirm(plan, trial.number, seed, confirmation_config(plan, trial, seed))
        for trial, seed in wanted
        if CONFIRMED.format(trial=trial.number, seed=seed) not in known
    ]


def keep(study: Study, task: Confirm, accuracy: float) -> None:
    """Write one confirmation into the study."""
    study.set_user_attr(CONFIRMED.format(trial=task.trial, seed=task.seed), accuracy)


def candidates(plan: Plan, study: Study, top: Sequence[TrialRecord]) -> list[Candidate]:
    """The confirmed trials, best mean first; of equal ones the one that the search had first."""
    known, seeds = study.user_attrs, range(plan.config.confirm.seeds)
    found = [
        Candidate(t, tuple(known[CONFIRMED.format(trial=t.number, seed=s)] for s in seeds))
        for t in top
    ]
    return sorted(found, key=lambda candidate: -candidate.confirmed["mean"])


def confirmation_config(plan: Plan, trial: TrialRecord, seed: int) -> TrainConfig:
    """The trial's training with a seed that all candidates share and no trial had."""
    assert trial.config is not None
    fresh = seed_for(plan.config.study.seed, 3, seed)
    return TrainConfig.model_validate({**trial.config, "seed": fresh})
