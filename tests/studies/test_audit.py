"""Trials that are finished although the pruner would stop them."""

import pytest
from pydantic import ValidationError

from records.outcome import State
from studies.attributes import trial_records
from studies.broker import Answer
from studies.broker.audit import Audit
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from tests.studies.conftest import SPACE, begun
from tests.studies.workers import ended, epoch

CONFIG = StudyConfig(startup_trials=1, prune_after=0.2)


def broker_with(study, place, audit: Audit) -> SqlBroker:
    def configure(point, index):
        return {**point, "epochs": 6}

    return SqlBroker(study, place, 9, SPACE, {}, configure, audit=audit)


def falling_behind(broker: SqlBroker, claim) -> list[Answer]:
    return [broker.report(claim, epoch(number, 0.1)) for number in range(1, 7)]


def search_of(here, audit: Audit):
    """A broker whose first trial was a good one."""
    study = begun(here, CONFIG)
    broker = broker_with(study, here, audit)
    (good,) = broker.claim(1).trials
    for number in range(1, 7):
        broker.report(good, epoch(number, 0.9))
    broker.settle(good, ended(State.COMPLETE, 0.9))
    return study, broker


def test_an_audited_trial_goes_on_and_says_when_it_would_have_ended(here) -> None:
    study, broker = search_of(here, Audit(1.0, 0))
    (claim,) = broker.claim(1).trials
    assert set(falling_behind(broker, claim)) == {Answer.GO}
    broker.settle(claim, ended(State.COMPLETE, 0.1))
    good, bad = trial_records(study)
    assert (good.audited, bad.audited, bad.state) == (None, 2, State.COMPLETE)


def test_without_an_audit_it_is_pruned(here) -> None:
    study, broker = search_of(here, Audit())
    (claim,) = broker.claim(1).trials
    assert falling_behind(broker, claim)[1] == Answer.PRUNE
    assert trial_records(study)[1].audited is None


def test_an_audited_trial_that_is_run_again_is_still_one(here) -> None:
    study, broker = search_of(here, Audit(1.0, 0))
    (claim,) = broker.claim(1).trials
    falling_behind(broker, claim)
    broker.settle(claim, ended(State.REQUEUED))
    assert [t.audited for t in trial_records(study)] == [None, 2, 2]


def test_the_share_is_kept_and_the_same_trials_are_chosen_again() -> None:
    chosen = [Audit(0.05, seed).chooses(index) for seed in (0, 1) for index in range(1000)]
    assert 0.03 < sum(chosen) / len(chosen) < 0.07
    assert chosen == [Audit(0.05, seed).chooses(index) for seed in (0, 1) for index in range(1000)]
    assert chosen[:1000] != chosen[1000:]
    assert not any(Audit(0.0, 0).chooses(index) for index in range(100))
    assert all(Audit(1.0, 0).chooses(index) for index in range(100))


def test_an_audit_needs_a_pruner() -> None:
    with pytest.raises(ValidationError, match="must be 0 with pruner 'none', but got 0.05"):
        StudyConfig(audit=0.05, pruner="none")
