"""The broker for workers elsewhere: any call may come twice, and the service may be made anew."""

import os

import pytest

from records.outcome import State
from studies.broker import Answer, Claims
from studies.broker.owner import Owner
from studies.broker.service import BrokerService, RemoteBroker, ServedBroker
from studies.broker.sql import finished
from tests.studies.conftest import SPACE, begun
from tests.studies.workers import ended, epoch

SESSION = Owner.this_session()
ALICE, BOB = (SESSION.model_copy(update={"actor": name}) for name in ("alice", "bob"))


class Services:
    """A service that can be killed: what comes next is a new one, from the study alone."""

    def __init__(self, place, total: int) -> None:
        self.place, self.total = place, total
        self.study = begun(place)
        self.restart()

    def restart(self) -> None:
        self.service = BrokerService(self.open)

    def open(self, owner: Owner) -> ServedBroker:
        def configure(point, index: int) -> dict:
            return {"point": dict(point), "index": index, "epochs": 3}

        study = begun(self.place)
        return ServedBroker(study, self.place, self.total, SPACE, {}, configure, owner=owner)

    def of(self, owner: Owner) -> RemoteBroker:
        return RemoteBroker(owner, lambda name, *given: getattr(self.service, name)(*given))


@pytest.fixture
def services(here) -> Services:
    return Services(here, 2)


def test_workers_share_the_trials_and_end_with_the_total(services) -> None:
    alice, bob = services.of(ALICE), services.of(BOB)
    (one,), (two,) = alice.claim(1).trials, bob.claim(1).trials
    assert one.number != two.number
    assert alice.claim(1) == Claims(wait=True)
    for broker, claim in ((alice, one), (bob, two)):
        assert broker.report(claim, epoch(1, 0.5)) == Answer.GO
        assert broker.settle(claim, ended(State.COMPLETE, 0.5))
    assert bob.claim(1) == Claims()
    assert finished(services.study.get_trials()) == 2


def test_a_service_made_anew_goes_on_with_what_is_running(services) -> None:
    alice = services.of(ALICE)
    (claim,) = alice.claim(1).trials
    services.restart()
    assert alice.report(claim, epoch(1, 0.5)) == Answer.GO
    services.restart()
    assert alice.settle(claim, ended(State.COMPLETE, 0.5))
    assert finished(services.study.get_trials()) == 1


def test_an_answer_that_nobody_heard_costs_nothing(services) -> None:
    (unheard,) = services.of(ALICE).claim(1).trials
    alice = services.of(ALICE)  # It holds nothing.
    (claim,) = alice.claim(1).trials
    assert (claim.index, claim.params) == (unheard.index, unheard.params)
    for _ in range(2):
        assert alice.report(claim, epoch(1, 0.5)) == Answer.GO
    for _ in range(2):
        assert alice.settle(claim, ended(State.COMPLETE, 0.5))
        services.restart()
    assert finished(services.study.get_trials()) == 1
    assert alice.report(claim, epoch(2, 0.5)) == Answer.LOST


def test_what_a_lost_worker_ran_is_run_by_another_one(services) -> None:
    alice, bob = services.of(ALICE), services.of(BOB)
    (claim,), (other,) = alice.claim(1).trials, bob.claim(1).trials
    services.service.lose(SESSION, ["alice"])
    assert alice.report(claim, epoch(1, 0.5)) == Answer.LOST
    assert not alice.settle(claim, ended(State.COMPLETE, 0.5))
    assert alice.claim(1) == Claims()
    assert bob.settle(other, ended(State.COMPLETE, 0.5))
    (again,) = bob.claim(1).trials
    assert (again.index, again.params) == (claim.index, claim.params)


def test_the_trials_of_a_session_that_is_gone_are_run_by_the_next(services) -> None:
    gone = ALICE.model_copy(update={"ticks": 1, "session": os.getppid()})
    (claim,) = services.of(gone).claim(1).trials
    services.restart()
    (again,) = services.of(BOB).claim(1).trials
    assert again.index == claim.index
