import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from records.outcome import Cause, State
from studies.attributes import INDEX, OWNER, requeued, trial_records
from studies.broker import Answer, Claim, Claims, TooManyFailures
from studies.broker.counting import MAX_FAILURES, finished
from studies.broker.owner import Observer, Owner
from studies.broker.sql import SqlBroker, requeue_dead
from studies.config import StudyConfig
from studies.study import Place, find
from tests.studies.conftest import FIRST, begun
from tests.studies.workers import broker_of, ended, epoch, run_one

ROOT = Path(__file__).parents[2]


def start(place: Place, total: int, pause: float = 0.0, count: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.studies.workers", place.name, str(place.folder)]
    environment = {**os.environ, "PAUSE": str(pause), "COUNT": str(count)}
    return subprocess.Popen([*command, place.storage or "", str(total)], cwd=ROOT, env=environment)


def claimed(broker: SqlBroker) -> Claim:
    """The one trial that there must be."""
    (claim,) = broker.claim(1).trials
    return claim


def drain(place: Place, total: int) -> list[dict]:
    """Run the missing trials here."""
    broker, points = broker_of(begun(place), place, total), []
    while claims := broker.claim(1).trials:
        points += [run_one(broker, claim) for claim in claims]
    return points


def test_ends_with_exactly_the_total(place) -> None:
    assert len(drain(place, 5)) == 5
    assert len(drain(place, 5)) == 0
    assert len(drain(place, 8)) == 3


def test_the_first_trial_is_the_default(here) -> None:
    assert drain(here, 2)[0] == FIRST


def test_several_trials_at_once_are_no_more_than_are_missing(place) -> None:
    broker = broker_of(begun(place), place, 3)
    two = broker.claim(2).trials
    assert [(claim.number, claim.index) for claim in two] == [(0, 0), (1, 1)]
    (third,) = broker.claim(5).trials
    assert broker.claim(5) == Claims(wait=True)
    for claim in (*two, third):
        run_one(broker, claim)
    assert broker.claim(5) == Claims()


def test_a_claim_holds_all_that_a_worker_needs(place) -> None:
    study = begun(place)
    claim = claimed(broker_of(study, place, 2))
    assert claim == Claim(0, 0, FIRST, {"point": FIRST, "index": 0, "epochs": 3}, passed=0)
    (record,) = trial_records(study)
    assert (record.config, record.params) == (claim.config, FIRST)  # Before any training.


def test_pruned_trials_count_and_failed_ones_do_not(here) -> None:
    broker = broker_of(begun(here), here, 2)
    broker.settle(claimed(broker), ended(State.FAILED))
    broker.settle(claimed(broker), ended(State.PRUNED))
    broker.settle(claimed(broker), ended(State.COMPLETE, 0.5))
    assert broker.claim(1) == Claims()


def test_what_happened_is_written_as_it_was_told(place) -> None:
    study = begun(place)
    broker = broker_of(study, place, 2)
    why = {"cause": Cause.DIVERGED, "reason": "diverged in epoch 2"}
    claim = claimed(broker)
    assert broker.report(claim, epoch(1, 0.25)) == Answer.GO
    assert broker.settle(claim, ended(State.PRUNED, 0.25, **why))
    (record,) = trial_records(study)
    assert (record.state, record.accuracy, record.curve) == (State.PRUNED, 0.25, {1: 0.25})
    assert (record.cause, record.reason) == (Cause.DIVERGED, "diverged in epoch 2")
    assert record.history["train_loss"] == [1.0]


def test_waits_while_others_run_the_last_ones(place) -> None:
    broker = broker_of(begun(place), place, 1)
    claim = claimed(broker)
    assert broker.claim(1) == Claims(wait=True)
    broker.settle(claim, ended(State.COMPLETE, 0.5))
    assert broker.claim(1) == Claims()


def test_a_requeued_trial_is_run_again_and_counts_once(place) -> None:
    study = begun(place)
    broker = broker_of(study, place, 2)
    first = claimed(broker)
    assert broker.settle(first, ended(State.REQUEUED))
    again = claimed(broker)
    assert again.number != first.number
    assert (again.index, again.config) == (first.index, first.config)
    assert requeued(study.get_trials()) == {first.number}
    broker.settle(again, ended(State.COMPLETE, 0.1))
    broker.settle(claimed(broker), ended(State.COMPLETE, 0.2))
    assert broker.claim(1) == Claims()
    assert finished(study.get_trials()) == 2


def test_trials_of_living_owners_are_left_alone(place) -> None:
    study = begun(place)
    claim = claimed(broker_of(study, place, 3))
    requeue_dead(study, Observer(study))
    assert study.get_trials()[claim.number].state == TrialState.RUNNING


def test_a_trial_that_nobody_signed_for_is_run_again(place) -> None:
    study = begun(place)
    orphan = study.ask()
    assert OWNER not in orphan.user_attrs
    assert claimed(broker_of(study, place, 1)).params == FIRST
    assert study.get_trials()[orphan.number].state == TrialState.FAIL


def test_a_lost_trial_is_an_ordinary_answer_and_nothing_is_written(place) -> None:
    study = begun(place)
    robbed, robber = broker_of(study, place, 1), broker_of(begun(place), place, 1)
    lost = claimed(robbed)
    assert robbed.report(lost, epoch(1, 0.5)) == Answer.GO
    dies(study, lost)
    again = claimed(robber)
    assert (again.index, again.passed) == (lost.index, 1)
    before = study.get_trials()[lost.number]
    assert robbed.report(lost, epoch(2, 0.5)) == Answer.LOST
    assert not robbed.settle(lost, ended(State.COMPLETE, 0.5, 0.9))
    assert study.get_trials()[lost.number] == before
    assert robbed.claim(1) == Claims(wait=True)
    assert robber.settle(again, ended(State.COMPLETE, 0.5))
    assert finished(study.get_trials()) == 1


def dies(study, claim: Claim) -> None:
    """Its worker is gone."""
    gone = Owner.this_process().model_copy(update={"ticks": 1})
    trial = study.get_trials()[claim.number]
    study._storage.set_trial_user_attr(trial._trial_id, OWNER, gone.model_dump())


def reports(broker: SqlBroker, claim: Claim, epochs: int) -> None:
    for number in range(1, epochs + 1):
        assert broker.report(claim, epoch(number, 0.5)) == Answer.GO


def test_a_trial_that_kills_its_workers_is_given_up(place) -> None:
    study = begun(place)
    broker = broker_of(study, place, 1)
    for _ in range(3):
        claims = broker.claim(1)
        (claim,) = claims.trials
        assert (dict(claims.given_up), claim.index) == ({}, 0)
        reports(broker, claim, 2)
        dies(study, claim)
    claims = broker.claim(1)
    reason = "its worker died 3 times, at last in epoch 3"
    died = ended(State.FAILED, cause=Cause.WORKER_DIED, reason=reason)
    assert claims.given_up == {claim.number: died}
    record = trial_records(study)[claim.number]
    assert (record.cause, record.reason) == (Cause.WORKER_DIED, reason)
    (other,) = claims.trials
    assert other.index == 1
    broker.settle(other, ended(State.COMPLETE, 0.5))
    assert finished(study.get_trials()) == 1


def test_a_trial_that_gets_further_each_time_is_not_given_up(here) -> None:
    study = begun(here)
    broker = broker_of(study, here, 1)
    for epochs in range(6):
        claim = claimed(broker)
        assert (claim.index, claim.passed) == (0, max(epochs - 1, 0))
        reports(broker, claim, epochs)
        dies(study, claim)


def test_being_requeued_is_no_death(here) -> None:
    study = begun(here)
    broker = broker_of(study, here, 1)
    for stops in (0, 0, 4):
        for _ in range(stops):
            claims = broker.claim(1)
            assert not claims.given_up
            broker.settle(claims.trials[0], ended(State.REQUEUED))
        dies(study, claimed(broker))
    assert broker.claim(1).given_up


def test_runs_without_memory_are_counted_until_one_gets_further(here) -> None:
    broker = broker_of(begun(here), here, 1)
    crowded = ended(State.REQUEUED, cause=Cause.OUT_OF_MEMORY)
    for epochs, deaths in ((0, 0), (0, 1), (2, 2), (0, 1), (0, 2)):
        claim = claimed(broker)
        assert (claim.index, claim.deaths) == (0, deaths)
        reports(broker, claim, epochs)
        broker.settle(claim, crowded)


MEDIAN = StudyConfig(startup_trials=1, prune_after=0.0)


def complete_one(broker: SqlBroker, accuracy: float) -> None:
    claim = claimed(broker)
    for number in (1, 2, 3):
        assert broker.report(claim, epoch(number, accuracy)) == Answer.GO
    broker.settle(claim, ended(State.COMPLETE, *[accuracy] * 3))


def test_a_resumed_trial_is_judged_on_new_epochs_only(here) -> None:
    study = begun(here, MEDIAN)
    broker = broker_of(study, here, 9)
    behind = claimed(broker)
    reports(broker, behind, 2)  # Nobody to fall behind yet.
    for _ in range(3):
        complete_one(broker, 0.9)
    broker.settle(behind, ended(State.REQUEUED))
    again = claimed(broker)
    assert (again.index, again.passed) == (behind.index, 2)
    reports(broker, again, 2)
    dies(study, again)
    once_more = claimed(broker)
    assert once_more.passed == 2
    reports(broker, once_more, 2)
    fresh = claimed(broker)
    assert broker.report(fresh, epoch(1, 0.5)) == Answer.GO
    assert broker.report(fresh, epoch(2, 0.5)) == Answer.PRUNE


def test_an_epoch_after_which_a_trial_was_pruned_was_not_passed(here) -> None:
    """Its worker dies before it could settle: whoever goes on prunes it there too."""
    study = begun(here, MEDIAN)
    broker = broker_of(study, here, 9)
    complete_one(broker, 0.9)
    claim = claimed(broker)
    for _ in range(2):
        assert broker.report(claim, epoch(1, 0.5)) == Answer.GO
        assert broker.report(claim, epoch(2, 0.5)) == Answer.PRUNE
        dies(study, claim)
        claim = claimed(broker)
        assert claim.passed == 1


def test_a_trial_is_never_pruned_after_its_last_epoch(here) -> None:
    broker = broker_of(begun(here, MEDIAN), here, 9)
    complete_one(broker, 0.9)
    claim = claimed(broker)
    assert broker.report(claim, epoch(3, 0.5)) == Answer.GO


def test_a_point_that_makes_no_config_is_a_failed_trial(here) -> None:
    study = begun(here)
    broker = broker_of(study, here, 2)
    broker._configure = {}.__getitem__  # Takes one argument.
    claims = broker.claim(1)
    assert (claims.trials, claims.wait) == ((), True)
    (outcome,) = claims.given_up.values()
    assert (outcome.state, outcome.cause) == (State.FAILED, Cause.ERROR)
    assert "Traceback" in outcome.details
    (record,) = trial_records(study)
    assert (record.state, record.reason) == (State.FAILED, outcome.reason)


@pytest.mark.slow
def test_several_workers_end_with_exactly_the_total(place) -> None:
    begun(place)
    assert start(place, 24, count=4).wait(120) == 0
    trials = begun(place).get_trials()
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 24}
    assert len({repr(t.params) for t in trials}) == 24
    extra = start(place, 26)
    assert extra.wait(60) == 0
    assert finished(begun(place).get_trials()) == 26


@pytest.mark.slow
def test_killed_workers_lose_nothing(place) -> None:
    begun(place)
    workers = [start(place, 16, pause=0.1) for _ in range(3)]
    deadline = time.time() + 60
    while finished(begun(place).get_trials()) < 4 and time.time() < deadline:
        time.sleep(0.05)
    for worker in workers[:2]:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert workers[2].wait(120) == 0
    trials = begun(place).get_trials()
    assert finished(trials) == 16
    failed = {t.number for t in trials if t.state == TrialState.FAIL}
    assert failed == requeued(trials)
    assert TrialState.RUNNING not in {t.state for t in trials}


def test_failures_in_a_row_stop_the_search_with_the_first_cause(here) -> None:
    study = begun(here)
    broker = broker_of(study, here, 100)
    for number in range(MAX_FAILURES):
        broker.settle(claimed(broker), ended(State.FAILED, reason=f"cause {number}"))
    with pytest.raises(TooManyFailures, match=r"5 trials in a row .*\(trial 0\) with: cause 0"):
        broker.claim(1)
    # Whoever starts again, perhaps with a mended machine, gets a new chance.
    assert broker_of(study, here, 100).claim(1).trials


def test_a_failure_now_and_then_does_not_stop_the_search(here) -> None:
    broker = broker_of(begun(here), here, 100)
    for number in range(12):
        failed = number % 3 < 2
        outcome = ended(State.FAILED) if failed else ended(State.COMPLETE, 0.5)
        assert broker.settle(claimed(broker), outcome)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "qmc", "random"])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path, sampler) -> None:
    config = StudyConfig(sampler=sampler, pruner="none", startup_trials=4)

    def search(name: str, stops: tuple[int, ...]) -> list[dict]:
        place, points, claims = Place(name, tmp_path / name), [], 0
        place.folder.mkdir()
        while len(points) < 14:
            broker, stopped = broker_of(begun(place, config), place, 14), False
            while not stopped and len(points) < 14:
                claims += 1
                stopped = claims in stops
                # Before anything is sampled, or after.
                early = stopped and claims % 2 == 0
                claim = Claim(broker._ask().number, 0, {}, {}) if early else claimed(broker)
                if stopped:
                    broker.settle(claim, ended(State.REQUEUED))
                else:
                    points.append(run_one(broker, claim))
        return points

    undisturbed = search("undisturbed", ())
    assert search("stopped", (1, 4, 9, 13)) == undisturbed
    assert len({repr(point) for point in undisturbed}) == 14


@pytest.mark.slow
def test_sixteen_workers_with_short_trials_end_with_exactly_the_total(tmp_path) -> None:
    place, total = Place("test", tmp_path), 48
    begun(place)
    workers = start(place, total, pause=0.02, count=16)
    study = find(place)
    while workers.poll() is None:
        study.get_trials()  # As a dashboard does.
        time.sleep(0.05)
    assert workers.returncode == 0
    trials = study.get_trials()
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: total}
    assert sorted(t.user_attrs[INDEX] for t in trials) == list(range(total))
