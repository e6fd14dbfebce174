"""A broker over a database that may be away for a while: what was cut short is done again."""

from records.outcome import EpochRecord, Outcome, State
from studies.attributes import STATES, requeued
from studies.broker import Answer, Broker, Claim, Claims
from studies.broker.sql import SqlBroker
from studies.connection.outage import connection_broke, wait_out
from studies.storage import shown


class LastingBroker(Broker):
    """One that waits until the database answers, and takes no lock for its own that is gone.

    Single calls of the storage wait by themselves. What is done under the study's lock must begin
    anew, since the lock goes with the server, and others may have counted meanwhile.
    """

    def __init__(self, broker: SqlBroker) -> None:
        self._broker = broker
        self._name = shown(broker._place.url)

    def claim(self, n: int) -> Claims:
        """As `SqlBroker`; what was asked for without the lock is given back."""
        before = set(self._broker._trials)

        def again() -> Claims:
            for number in set(self._broker._trials) - before:
                self.settle(Claim(number, 0, {}, {}), Outcome(State.REQUEUED))
            return self._broker.claim(n)

        return wait_out(self._name, lambda: self._broker.claim(n), connection_broke, again)

    def report(self, claim: Claim, record: EpochRecord) -> Answer:
        """As `SqlBroker`."""
        return wait_out(self._name, lambda: self._broker.report(claim, record), connection_broke)

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """As `SqlBroker`; what was done already, unheard, counts as done."""
        broker = self._broker
        trial = broker._trials[claim.number]

        def again() -> bool:
            broker._trials[claim.number] = trial
            return broker.settle(claim, outcome) or _has_ended(broker, claim, outcome)

        return wait_out(self._name, lambda: broker.settle(claim, outcome), connection_broke, again)


def _has_ended(broker: SqlBroker, claim: Claim, outcome: Outcome) -> bool:
    trials = broker._study.get_trials(deepcopy=False)
    same = STATES[trials[claim.number].state] == outcome.state
    return same and claim.number not in requeued(trials)
