"""Running trials: from a sampled point to a complete, pruned, failed or handed-back trial."""

import math
import time
import traceback
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import Trial, TrialState

from records.files import is_full_disk
from records.outcome import Cause, EpochRecord, Outcome, State, columns
from search.plan import Plan
from search.workers.checkpoints import checkpoint_of_trial
from search.workers.event_files import EventFiles, event_files_of_trial
from search.workers.events import Began, Ended, EpochEnded, Event, Warned
from search.workers.worker import Worker
from studies.attributes import CONFIG, HISTORY, INDEX, REASON
from studies.broker import Ledger
from studies.study import work_on
from train_core.errors import Diverged, TrainingStopped

if TYPE_CHECKING:
    from train_core.checkpoint import Checkpoint
    from train_core.engine import EnginePool

_POLL = 0.5
"""Seconds between two questions for a trial while others run the last ones."""


@dataclass(frozen=True)
class RunTrials:
    """The task of running trials until the study has enough or the time is up.

    Attributes:
        plan: The search.
        deadline: Seconds since the epoch after which no trial starts; None = no limit.
    """

    plan: Plan
    deadline: float | None

    def run(self, worker: Worker) -> Generator[Event, None, None]:
        """Run trials in this worker."""
        plan = self.plan
        study = work_on(plan.place, plan.config.study, plan.space, plan.training.epochs)
        ledger = Ledger(study, plan.place, plan.config.trials)
        engines = worker.engines(plan.data, plan.config.data)
        while not worker.stopping and not self._too_late():
            claim = ledger.claim()
            for number, reason in claim.given_up.items():
                dead = Outcome(State.FAILED, cause=Cause.WORKER_DIED, reason=reason)
                yield Ended(f"trial {number}", dead)
            if claim.trial is not None:
                checkpoint = checkpoint_of_trial(plan, claim.trial.user_attrs[INDEX])
                outcome = yield from run_trial(claim.trial, plan, engines, worker, checkpoint)
                settle_trial(study, ledger, claim.trial, outcome)
                if outcome.state != State.REQUEUED:
                    checkpoint.remove()
                yield Ended(f"trial {claim.trial.number}", outcome)
            elif claim.wait:
                time.sleep(_POLL)
            else:
                return

    def _too_late(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline


def run_trial(
    trial: Trial,
    plan: Plan,
    engines: "EnginePool",
    worker: Worker,
    checkpoint: "Checkpoint | None" = None,
) -> Generator[Event, None, Outcome]:
    """Sample a point and train it; whatever happens becomes an outcome."""
    with event_files_of_trial(plan, trial.user_attrs[INDEX]) as event_files:
        outcome = yield from _outcome(trial, plan, engines, worker, checkpoint, event_files)
        if outcome.state != State.REQUEUED:
            event_files.end(trial.params, outcome.accuracy)
    if event_files.trouble:
        yield Warned(event_files.trouble)
    return outcome


def settle_trial(study: Study, ledger: Ledger, trial: Trial, outcome: Outcome) -> None:
    """Write the outcome into the study.

    Pruning is told and not raised: an exception keeps every frame it has passed alive, and with
    them the network.
    """
    if outcome.state == State.REQUEUED:
        ledger.hand_back(trial.number)
        return
    trial.set_user_attr(HISTORY, columns(outcome.history))
    if outcome.reason is not None:
        trial.set_user_attr(REASON, outcome.reason)
    if outcome.state == State.COMPLETE:
        study.tell(trial, outcome.accuracy)
    else:
        states = {State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}
        study.tell(trial, state=states[outcome.state])


def _outcome(
    trial: Trial,
    plan: Plan,
    engines: "EnginePool",
    worker: Worker,
    checkpoint: "Checkpoint | None",
    event_files: EventFiles,
) -> Generator[Event, None, Outcome]:
    """Sample and train."""
    from train_core.fit import fit

    history: list[EpochRecord] = []
    try:
        point = plan.space.sample(trial, plan.fixed)
        config = plan.trial_config(point, trial.user_attrs[INDEX])
        # Before the training, so that a crash can be replayed.
        trial.set_user_attr(CONFIG, config.model_dump())
        yield Began(f"trial {trial.number}", config.describe(), config.epochs)
        records = event_files.follow(fit(config, engines.data, engines, checkpoint))
        state, cause, why = yield from _train(trial, records, plan, worker, history)
        if state == State.REQUEUED and checkpoint:
            checkpoint.write()
    except TrainingStopped as early:
        cause = Cause.DIVERGED if isinstance(early, Diverged) else Cause.OUT_OF_MEMORY
        return Outcome(State.PRUNED, tuple(history), cause, str(early))
    # Any fault of one trial must leave the search alive; five in a row stop it.
    except Exception as error:
        if is_full_disk(error) or worker.lost_its_device:
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Outcome(State.FAILED, tuple(history), Cause.ERROR, reason, traceback.format_exc())
    return Outcome(state, tuple(history), cause, why)


def _train(
    trial: Trial,
    records: Iterable[EpochRecord],
    plan: Plan,
    worker: Worker,
    history: list[EpochRecord],
) -> Generator[Event, None, tuple[State, Cause | None, str | None]]:
    """Train and report until the end or until a reason not to go on; returns all three."""
    limit = plan.config.study.trial_timeout or math.inf
    for record in records:
        history.append(record)
        accuracy = record.val_accuracy
        assert accuracy is not None
        trial.report(accuracy, record.epoch)
        yield EpochEnded(f"trial {trial.number}", record.epoch, accuracy, record.images_per_second)
        if record.epoch == plan.training.epochs:
            break
        worker.share_cores()
        if worker.stopping:
            return State.REQUEUED, None, None
        if trial.should_prune():
            rule = f"{plan.config.study.pruner} rule after epoch {record.epoch}"
            return State.PRUNED, Cause.RULE, rule
        if sum(past.seconds for past in history) > limit:
            late = f"over the trial_timeout of {limit:g} s after epoch {record.epoch}"
            return State.PRUNED, Cause.TIMED_OUT, late
    return State.COMPLETE, None, None
