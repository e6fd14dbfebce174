"""A broker for workers elsewhere: the calls of all, beside the database, safe to be made twice.

Whoever asks may be answered and not hear it, since it or the service was killed in between. So a
worker says with every claim which trials it holds, a report or an outcome can come again, and
nothing is kept here that the study does not tell after a restart.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from records.outcome import EpochRecord, Outcome, State
from studies import attributes as keys
from studies.broker import Answer, Broker, Claim, Claims
from studies.broker.again import run_again
from studies.broker.owner import LostActors, Owner, owner_of
from studies.broker.sql import SqlBroker, requeue_dead

_ENDS = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED}


class ServedBroker(SqlBroker):
    """One worker's broker, which knows its trials again when it is made anew.

    Args:
        given: What `SqlBroker` takes.
        owner: The worker; None = this process.
    """

    def __init__(self, *given: Any, owner: Owner | None = None) -> None:
        super().__init__(*given)
        if owner is not None:
            self._owner = owner

    def release(self, held: Collection[int]) -> None:
        """Give back what this worker is said to run but does not: it never heard of it."""
        with self._place.lock():
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.number not in held and self._owns(trial):
                    self._trials.pop(trial.number, None)
                    run_again(self._study, trial, trial.user_attrs.get(keys.DEATHS, 0))

    def report(self, claim: Claim, record: EpochRecord) -> Answer:
        """Write the score, and ask the pruner; told a second time, the answer is the same."""
        if not self._knows(claim):
            return Answer.LOST
        if self._owner.actor is not None:  # A process hears the first answer.
            trial = self._study.get_trials(deepcopy=False)[claim.number]
            if record.epoch in trial.intermediate_values:
                if trial.user_attrs.get(keys.PRUNED_AT) != record.epoch:
                    return Answer.GO
                return Answer.PRUNE if self._promote is None else Answer.PAUSE
        return super().report(claim, record)

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome; told a second time, it stays as it is."""
        if self._knows(claim) and super().settle(claim, outcome):
            return True
        if self._owner.actor is None:  # A process hears the first answer.
            return False
        trial = self._study.get_trials(deepcopy=False)[claim.number]
        return self._owns(trial) and trial.state == _ENDS.get(outcome.state)

    def requeue_lost(self, actors: Sequence[str]) -> None:
        """Enqueue again what workers were running that are gone."""
        with self._place.lock():
            requeue_dead(self._study, LostActors(actors))

    def _owns(self, trial: FrozenTrial) -> bool:
        return owner_of(trial) == self._owner

    def _knows(self, claim: Claim) -> bool:
        if claim.number in self._trials:
            return True
        trial = self._study.get_trials(deepcopy=False)[claim.number]
        if trial.state != TrialState.RUNNING or not self._owns(trial):
            return False
        self._trials[claim.number] = Trial(self._study, trial._trial_id)
        return True


class BrokerService:
    """The brokers of all workers, each opened at its first call.

    Args:
        open_broker: Opens that of one worker.
    """

    def __init__(self, open_broker: Callable[[Owner], ServedBroker]) -> None:
        self._open, self._brokers = open_broker, dict[Owner, ServedBroker]()
        self._lost = set[str]()

    def claim(self, owner: Owner, n: int, held: Collection[int]) -> Claims:
        """`Broker.claim` of a worker that runs no trials but these."""
        if owner.actor in self._lost:
            return Claims()
        broker = self._of(owner)
        broker.release(held)
        return broker.claim(n)

    def report(self, owner: Owner, claim: Claim, record: EpochRecord) -> Answer:
        """`Broker.report` of a worker."""
        return self._of(owner).report(claim, record)

    def settle(self, owner: Owner, claim: Claim, outcome: Outcome) -> bool:
        """`Broker.settle` of a worker."""
        return self._of(owner).settle(claim, outcome)

    def lose(self, session: Owner, actors: Sequence[str]) -> None:
        """Take back what these workers of a session were running: they are gone."""
        self._lost.update(actors)
        for owner in [o for o in self._brokers if o.actor in self._lost]:
            del self._brokers[owner]
        self._of(session).requeue_lost(actors)

    def _of(self, owner: Owner) -> ServedBroker:
        if owner not in self._brokers:
            self._brokers[owner] = self._open(owner)
        return self._brokers[owner]


class RemoteBroker(Broker):
    """What a worker has of a `BrokerService`.

    Args:
        owner: The worker.
        call: Calls one of the service's methods by name; it may make a call again.
    """

    def __init__(self, owner: Owner, call: Callable[..., Any]) -> None:
        self._owner, self._call = owner, call
        self._held = set[int]()

    def claim(self, n: int) -> Claims:
        """Ask the service."""
        claims: Claims = self._call("claim", self._owner, n, frozenset(self._held))
        self._held.update(claim.number for claim in claims.trials)
        return claims

    def report(self, claim: Claim, record: EpochRecord) -> Answer:
        """Tell the service."""
        answer: Answer = self._call("report", self._owner, claim, record)
        return answer

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Tell the service."""
        settled: bool = self._call("settle", self._owner, claim, outcome)
        self._held.discard(claim.number)
        return settled
