"""Running trials: from a sampled point to a complete, pruned, failed or handed-back trial."""

import time
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from optuna.study import Study
from optuna.trial import Trial, TrialState

from search.events import Began, Ended, EpochEnded, Event
from search.plan import Plan
from search.worker import Worker
from studies.attributes import CONFIG, HISTORY, INDEX, REASON
from studies.ledger import Ledger
from studies.study import work_on
from train_core.config import TrainConfig
from train_core.errors import OutOfMemory, TrainingStopped
from train_core.record import EpochRecord, columns

if TYPE_CHECKING:
    from train_core.engine import EnginePool

_POLL = 0.5
"""Seconds between two questions for a trial while others run the last ones."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. It holds no tensors, so nothing of the training outlives it."""

    state: Literal["complete", "pruned", "failed", "handed back"]
    history: tuple[EpochRecord, ...]
    reason: str | None = None
    details: str = ""

    @property
    def accuracy(self) -> float | None:
        """The last validation accuracy."""
        return self.history[-1].val_accuracy if self.history else None


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
            if claim.trial is not None:
                outcome = yield from run_trial(claim.trial, plan, engines, worker)
                settle_trial(study, ledger, claim.trial, outcome)
                yield _ended(claim.trial, outcome)
            elif claim.wait:
                time.sleep(_POLL)
            else:
                return

    def _too_late(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline


def run_trial(
    trial: Trial, plan: Plan, engines: "EnginePool", worker: Worker
) -> Generator[Event, None, Outcome]:
    """Sample a point and train it; whatever happens becomes an outcome."""
    history: list[EpochRecord] = []
    try:
        point = plan.space.sample(trial, plan.fixed)
        config = plan.trial_config(point, trial.user_attrs[INDEX])
        # Before the training, so that a crash can be replayed.
        trial.set_user_attr(CONFIG, config.model_dump())
        yield Began(f"trial {trial.number}", config.describe(), config.epochs)
        stopped = yield from _train(trial, config, engines, worker, history)
    except TrainingStopped as early:
        if isinstance(early, OutOfMemory):
            engines.clear()
        return Outcome("pruned", tuple(history), str(early))
    # Any fault of one trial must leave the search alive; five in a row stop it.
    except Exception as error:  # noqa: BLE001
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Outcome("failed", tuple(history), reason, traceback.format_exc())
    return Outcome(stopped or "complete", tuple(history), _why(stopped, plan, history))


def settle_trial(study: Study, ledger: Ledger, trial: Trial, outcome: Outcome) -> None:
    """Write the outcome into the study.

    Pruning is told and not raised: an exception keeps every frame it has passed alive, and with
    them the network.
    """
    if outcome.state == "handed back":
        ledger.hand_back(trial.number)
        return
    trial.set_user_attr(HISTORY, columns(outcome.history))
    if outcome.reason is not None:
        trial.set_user_attr(REASON, outcome.reason)
    if outcome.state == "complete":
        study.tell(trial, outcome.accuracy)
    else:
        states = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        study.tell(trial, state=states[outcome.state])


def _train(
    trial: Trial,
    config: TrainConfig,
    engines: "EnginePool",
    worker: Worker,
    history: list[EpochRecord],
) -> Generator[Event, None, Literal["pruned", "handed back"] | None]:
    from train_core.fit import fit

    for record in fit(config, engines.data, engines):
        history.append(record)
        accuracy = record.val_accuracy
        assert accuracy is not None
        trial.report(accuracy, record.epoch)
        yield EpochEnded(f"trial {trial.number}", record.epoch, accuracy, record.images_per_second)
        if record.epoch == config.epochs:
            break
        worker.share_cores()
        if worker.stopping:
            return "handed back"
        if trial.should_prune():
            return "pruned"
    return None


def _why(stopped: str | None, plan: Plan, history: list[EpochRecord]) -> str | None:
    if stopped == "pruned":
        return f"{plan.config.study.pruner} rule after epoch {history[-1].epoch}"
    return None


def _ended(trial: Trial, outcome: Outcome) -> Ended:
    details: dict[str, Any] = {"reason": outcome.reason, "details": outcome.details}
    return Ended(f"trial {trial.number}", outcome.state, outcome.accuracy, **details)
