import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from studies.attributes import INDEX, OWNER, REASON, Owner, handed_back
from studies.broker import MAX_FAILURES, Claim, Ledger, TooManyFailures, clear_dead, finished
from studies.config import StudyConfig
from studies.heartbeat import GRACE, Heartbeat
from studies.study import Place, find
from tests.studies.conftest import FIRST, SPACE, begun
from tests.studies.workers import run_one

ROOT = Path(__file__).parents[2]


def start(place: Place, total: int, pause: float = 0.0, count: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.studies.workers", place.name, str(place.folder)]
    environment = {**os.environ, "PAUSE": str(pause), "COUNT": str(count)}
    return subprocess.Popen([*command, place.storage or "", str(total)], cwd=ROOT, env=environment)


def drain(place: Place, total: int) -> list[dict]:
    """Run the missing trials here."""
    study = begun(place)
    ledger, points = Ledger(study, place, total), []
    while (claim := ledger.claim()).trial is not None:
        points.append(run_one(claim.trial, study))
    return points


def test_ends_with_exactly_the_total(place) -> None:
    assert len(drain(place, 5)) == 5
    assert len(drain(place, 5)) == 0
    assert len(drain(place, 8)) == 3


def test_the_first_trial_is_the_default(place) -> None:
    assert drain(place, 2)[0] == FIRST


def test_pruned_trials_count_and_failed_ones_do_not(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 2)
    study.tell(ledger.claim().trial, state=TrialState.FAIL)
    study.tell(ledger.claim().trial, state=TrialState.PRUNED)
    study.tell(ledger.claim().trial, 0.5)
    assert ledger.claim().trial is None


def test_waits_while_others_run_the_last_ones(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 1)
    trial = ledger.claim().trial
    second = ledger.claim()
    assert second.trial is None
    assert second.wait
    study.tell(trial, 0.5)
    assert not ledger.claim().wait


def test_a_trial_handed_back_is_run_again_and_counts_once(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 2)
    first = ledger.claim().trial
    point = SPACE.sample(first, {})
    first.set_user_attr("config", {})
    ledger.hand_back(first.number)
    again = ledger.claim().trial
    assert again.number != first.number
    assert SPACE.sample(again, {}) == point
    assert handed_back(study.get_trials()) == {first.number}
    study.tell(again, 0.1)
    study.tell(ledger.claim().trial, 0.2)
    assert ledger.claim().trial is None
    assert finished(study.get_trials()) == 2


def test_a_process_that_is_gone_is_known_to_be(place) -> None:
    me = Owner.this_process()
    assert not me.is_dead()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert me.model_copy(update={"pid": gone.pid}).is_dead()
    assert me.model_copy(
        update={"started": me.started - 1000}
    ).is_dead()  # The pid was used again.
    assert not me.model_copy(update={"host": "elsewhere", "pid": gone.pid}).is_dead()


def test_an_owner_on_another_host_is_gone_when_its_session_gives_no_sign(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 1)
    trial = ledger.claim().trial
    elsewhere = Owner.this_process().model_copy(update={"host": "elsewhere", "session": 77})
    trial.set_user_attr(OWNER, elsewhere.model_dump())
    for sign in (None, time.time(), time.time() - GRACE + 60):
        if sign is not None:
            study.set_user_attr("alive:elsewhere:77", sign)
        assert ledger.claim() == Claim(None, wait=True)
    study.set_user_attr("alive:elsewhere:77", time.time() - GRACE - 1)
    assert ledger.claim().trial.user_attrs[INDEX] == 0


def test_signs_of_life_are_written_now_and_then(place, monkeypatch) -> None:
    study = begun(place)
    heart, key = Heartbeat(study), f"alive:{socket.gethostname()}:{os.getpid()}"
    heart.beat()
    first = study.user_attrs[key]
    assert first == pytest.approx(time.time(), abs=20)
    heart.beat()
    assert study.user_attrs[key] == first
    monkeypatch.setattr("studies.heartbeat.EVERY", 0.0)
    heart.beat()
    assert study.user_attrs[key] > first


def test_trials_of_living_owners_are_left_alone(place) -> None:
    study = begun(place)
    trial = Ledger(study, place, 3).claim().trial
    clear_dead(study)
    assert study.get_trials()[trial.number].state == TrialState.RUNNING


def test_a_trial_that_nobody_signed_for_is_run_again(place) -> None:
    study = begun(place)
    orphan = study.ask()
    assert OWNER not in orphan.user_attrs
    ledger = Ledger(study, place, 1)
    again = ledger.claim().trial
    assert SPACE.sample(again, {}) == FIRST
    assert study.get_trials()[orphan.number].state == TrialState.FAIL


def dies(trial, epochs: int = 0) -> None:
    """Its worker reports some epochs and is gone."""
    for epoch in range(1, epochs + 1):
        trial.report(0.5, epoch)
    gone = Owner.this_process().model_copy(update={"started": 1.0})
    trial.set_user_attr(OWNER, gone.model_dump())


def test_a_trial_that_kills_its_workers_is_given_up(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 1)
    for _ in range(3):
        claim = ledger.claim()
        assert not claim.given_up
        assert claim.trial.user_attrs[INDEX] == 0
        dies(claim.trial, epochs=2)
    last = claim.trial.number
    claim = ledger.claim()
    reason = "its worker died 3 times, at last in epoch 3"
    assert claim.given_up == {last: reason}
    assert study.get_trials()[last].user_attrs[REASON] == reason
    assert claim.trial.user_attrs[INDEX] == 1
    study.tell(claim.trial, 0.5)
    assert finished(study.get_trials()) == 1


def test_a_trial_that_gets_further_each_time_is_not_given_up(place) -> None:
    ledger = Ledger(begun(place), place, 1)
    for epochs in range(6):
        claim = ledger.claim()
        assert claim.trial.user_attrs[INDEX] == 0
        dies(claim.trial, epochs)


def test_being_handed_back_is_no_death(place) -> None:
    ledger = Ledger(begun(place), place, 1)
    dies(ledger.claim().trial)
    dies(ledger.claim().trial)
    for _ in range(4):
        claim = ledger.claim()
        assert not claim.given_up
        ledger.hand_back(claim.trial.number)
    dies(ledger.claim().trial)
    assert ledger.claim().given_up


def test_several_workers_end_with_exactly_the_total(place) -> None:
    begun(place)
    workers = [start(place, 24) for _ in range(4)]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0, 0]
    trials = begun(place).get_trials()
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 24}
    assert len({repr(t.params) for t in trials}) == 24
    extra = start(place, 26)
    assert extra.wait(60) == 0
    assert finished(begun(place).get_trials()) == 26


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
    assert failed == handed_back(trials)
    assert TrialState.RUNNING not in {t.state for t in trials}


def test_failures_in_a_row_stop_the_search_with_the_first_cause(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 100)
    for number in range(MAX_FAILURES):
        trial = ledger.claim().trial
        trial.set_user_attr(REASON, f"cause {number}")
        study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(TooManyFailures, match=r"5 trials in a row .*\(trial 0\) with: cause 0"):
        ledger.claim()
    # Whoever starts again, perhaps with a mended machine, gets a new chance.
    assert Ledger(study, place, 100).claim().trial is not None


def test_a_failure_now_and_then_does_not_stop_the_search(place) -> None:
    study = begun(place)
    ledger = Ledger(study, place, 100)
    for number in range(12):
        trial = ledger.claim().trial
        failed = number % 3 < 2
        study.tell(trial, None if failed else 0.5, TrialState.FAIL if failed else None)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "qmc", "random"])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path, sampler) -> None:
    config = StudyConfig(sampler=sampler, pruner="none", startup_trials=4)

    def search(name: str, stops: tuple[int, ...]) -> list[dict]:
        place, points, claims = Place(name, tmp_path / name), [], 0
        place.folder.mkdir()
        while len(points) < 14:
            study = begun(place, config)  # As a new process would.
            ledger = Ledger(study, place, 14)
            while (trial := ledger.claim().trial) is not None:
                claims += 1
                if claims in stops:
                    if claims % 2:
                        SPACE.sample(trial, {})
                        trial.set_user_attr("config", {})
                    ledger.hand_back(trial.number)
                    break
                points.append(run_one(trial, study))
        return points

    undisturbed = search("undisturbed", ())
    assert search("stopped", (1, 4, 9, 13)) == undisturbed
    assert len({repr(point) for point in undisturbed}) == 14


@pytest.mark.slow
def test_sixteen_workers_with_short_trials_end_with_exactly_the_total(tmp_path) -> None:
    place, total = Place("test", tmp_path), 80
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
