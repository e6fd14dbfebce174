"""Running trials: what a broker hands out is trained until it ends or someone else has it."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from records.files import is_full_disk
from records.outcome import Cause, EpochRecord, Outcome, State
from records.words import of_method
from search.plan import Plan
from search.plan.policies import policy_of
from search.workers.engines import Engine
from search.workers.events import Began, Ended, EpochEnded, Event, Warned
from search.workers.training_files import checkpoint_of_trial, event_files_of
from search.workers.worker import Worker
from space import Value
from studies.broker import Answer, Broker, Claim
from studies.broker.audit import Audit
from studies.broker.lasting import LastingBroker
from studies.broker.owner import Owner
from studies.broker.service import ServedBroker
from studies.broker.sql import MAX_DEATHS
from studies.study import work_on
from train_core import Crowded, Diverged, TrainingStopped
from train_core.config import TrainConfig

if TYPE_CHECKING:
    from train_core.checkpoint import Checkpoint
    from train_core.engine import Folds

_POLL = 0.5  # Seconds between two questions for a trial while others run the last ones.
_ASIDE = 10.0  # Seconds for neighbours to leave the memory that a training needs.
NO_END = 1_000_000_000  # Trials, where a budget ends a search.
_LOST = Outcome(State.REQUEUED, reason="someone else has taken or ended it")


def open_broker(plan: Plan, owner: Owner | None = None) -> Broker:
    """The broker of the study's database, for this process or for a worker on a cluster."""
    return LastingBroker(serve_broker(plan, owner))


def serve_broker(plan: Plan, owner: Owner | None = None) -> ServedBroker:
    """The same for a service beside the database."""
    epochs = plan.training.epochs * plan.folds if plan.probes is None else None
    study = work_on(plan.place, plan.config.study, plan.space, epochs)

    def configure(point: Mapping[str, Value], index: int) -> Mapping[str, Any]:
        return plan.trial_config(point, index).model_dump()

    total = NO_END if plan.total is None else plan.total
    asked = plan.config.study
    return ServedBroker(
        study, plan.place, total, plan.space, plan.fixed, configure, policy_of(plan), plan.folds,
        Audit(asked.audit, asked.seed), owner=owner,
    )  # fmt: skip


@dataclass(frozen=True)
class RunTrials:
    """The task of running trials until the study has enough or the time is up."""

    plan: Plan
    deadline: float | None  # Seconds since the epoch after which no trial starts; None = no limit.
    open: Callable[[Plan], Broker] = open_broker  # Called in the worker's process.

    @classmethod
    def on(cls, engine: Engine, plan: Plan, deadline: float | None) -> Self:
        """The task for an engine's workers."""
        return cls(plan, deadline, engine.broker(plan, open_broker, serve_broker))

    def run(self, worker: Worker) -> Generator[Event, None, None]:
        """Run trials in this worker."""
        plan, broker = self.plan, self.open(self.plan)
        folds = worker.folds(plan.data, plan.config.data, plan.config.study.objective)
        deadline = math.inf if self.deadline is None else self.deadline
        while not worker.stopping and time.time() <= deadline:
            claims = broker.claim(1)
            for number, outcome in claims.given_up.items():
                yield Ended(f"trial {number}", outcome)
            for claim in claims.trials:
                crowded = yield from Trial(claim, plan, broker, worker, folds).run()
                if crowded:
                    worker.pause(_ASIDE)
            if claims.wait:
                time.sleep(_POLL)
            elif not claims.trials:
                return


@dataclass(frozen=True)
class Trial:
    """One trial in a worker, with the worker's buffers and images."""

    claim: Claim
    plan: Plan
    broker: Broker
    worker: Worker
    folds: "Folds"

    @property
    def job(self) -> str:
        """What it is called."""
        return f"trial {self.claim.number}{of_method(self.claim.config.get('method', 'full'))}"

    def run(self) -> Generator[Event, None, bool]:
        """Train, settle and tell; whatever happens becomes an outcome.

        Returns:
            Whether it is to be run again, since neighbours left no memory for it.
        """
        checkpoint = checkpoint_of_trial(self.plan, self.claim.index)
        with event_files_of(self.plan, self.claim.index) as event_files:
            outcome = yield from self._train(event_files.follow, checkpoint)
            if outcome.state != State.REQUEUED:
                event_files.end(self.claim.params, outcome.score)
        if event_files.trouble:
            yield Warned(event_files.trouble)
        if not self.broker.settle(self.claim, outcome):
            outcome = _LOST
        # What was lost may go on elsewhere, and what is paused later, from the same checkpoint.
        if outcome.state != State.REQUEUED and outcome.cause != Cause.PAUSED:
            checkpoint.remove()
        yield Ended(self.job, outcome)
        return outcome.state == State.REQUEUED and outcome.cause is not None

    def _train(
        self,
        follow: Callable[[Iterable[EpochRecord]], Iterable[EpochRecord]],
        checkpoint: "Checkpoint",
    ) -> Generator[Event, None, Outcome]:
        from train_core.fit import fit_folds

        history: list[EpochRecord] = []
        try:
            config = TrainConfig.model_validate(self.claim.config)
            epochs = config.epochs * len(self.folds)
            yield Began(self.job, config.describe(), epochs, self.claim.number)
            records = follow(self._with_costs(config, fit_folds(config, self.folds, checkpoint)))
            state, cause, why = yield from self._epochs(records, history, epochs)
            if cause == Cause.PAUSED or (state == State.REQUEUED and why is None):
                checkpoint.write()
        except TrainingStopped as early:
            cause = Cause.DIVERGED if isinstance(early, Diverged) else Cause.OUT_OF_MEMORY
            again = isinstance(early, Crowded) and self._may_try_again(history)
            state = State.REQUEUED if again else State.PRUNED
            return Outcome(state, tuple(history), cause, str(early))
        # Any fault of one trial must leave the search alive; five in a row stop it.
        except Exception as error:
            if is_full_disk(error) or self.worker.lost_its_device:
                raise
            return Outcome.fault(error, history)
        return Outcome(state, tuple(history), cause, why)

    def _may_try_again(self, history: list[EpochRecord]) -> bool:
        """Whether neighbours may have been in the way too seldom to say that they always are."""
        return len(history) > self.claim.passed or self.claim.deaths + 1 < MAX_DEATHS

    def _with_costs(
        self, config: TrainConfig, records: Iterable[EpochRecord]
    ) -> Iterator[EpochRecord]:
        """The same records, with what the study wants to know of the network."""
        wanted = set(self.plan.config.study.costs) - {"train_seconds"}
        if not wanted:
            yield from records
            return
        from search.export.costs import costs_of

        data = self.folds.pools[0].data
        known = costs_of(config, data, wanted, self.plan.folder / "latencies")
        for record in records:
            yield record.model_copy(update=known)

    def _epochs(
        self, records: Iterable[EpochRecord], history: list[EpochRecord], epochs: int
    ) -> Generator[Event, None, tuple[State, Cause | None, str | None]]:
        """Report until the end or until a reason not to go on; returns state, cause and reason."""
        study = self.plan.config.study
        limit = study.trial_timeout or math.inf
        for record in records:
            history.append(record)
            epoch, score = record.epoch, record.score
            answer = self.broker.report(self.claim, record)
            yield EpochEnded(self.job, epoch, score, record.images_per_second, record.seconds)
            if answer == Answer.LOST:
                return State.REQUEUED, None, _LOST.reason
            if answer == Answer.PRUNE:
                return State.PRUNED, Cause.RULE, f"{study.pruner} rule after epoch {epoch}"
            if answer == Answer.PAUSE:
                return State.PRUNED, Cause.PAUSED, f"paused after epoch {epoch}"
            if epoch == epochs:
                break
            self.worker.share_cores()
            if self.worker.stopping:
                return State.REQUEUED, None, None
            if epoch > self.claim.passed and sum(past.seconds for past in history) > limit:
                late = f"over the trial_timeout of {limit:g} s after epoch {epoch}"
                return State.PRUNED, Cause.TIMED_OUT, late
        return State.COMPLETE, None, None
