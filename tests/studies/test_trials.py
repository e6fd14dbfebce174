import os

import pytest

from records.outcome import Cause, State
from records.trial import ranked
from studies.attributes import CAUSE, CONFIRMED, REASON, confirmations, trial_records
from studies.broker.owner import this_host
from studies.study import Place
from tests.studies.conftest import FIRST, begun
from tests.studies.workers import broker_of, ended, epoch


def test_records_say_what_happened(tmp_path) -> None:
    place = Place("test", tmp_path)
    study = begun(place)
    broker = broker_of(study, place, 10)

    complete, pruned, stopped = broker.claim(3).trials
    for number, accuracy in ((1, 0.5), (2, 0.75)):
        broker.report(complete, epoch(number, accuracy))
    broker.settle(complete, ended(State.COMPLETE, 0.5, 0.75))
    broker.report(pruned, epoch(1, 0.25))
    why = {"cause": Cause.RULE, "reason": "median rule after epoch 1"}
    broker.settle(pruned, ended(State.PRUNED, 0.25, **why))
    broker.settle(stopped, ended(State.REQUEUED))
    _, failed = broker.claim(2).trials
    broker.settle(failed, ended(State.FAILED))

    records = trial_records(study)
    states = ["complete", "pruned", "requeued", "running", "failed"]
    assert [record.state for record in records] == states
    first = records[0]
    assert (first.accuracy, first.params, first.config) == (0.75, FIRST, complete.config)
    assert (first.curve, first.history["val_accuracy"]) == ({1: 0.5, 2: 0.75}, [0.5, 0.75])
    assert first.seconds is not None
    assert first.worker == f"{this_host()}:{os.getpid()}"
    assert (records[1].accuracy, records[1].reason) == (0.25, "median rule after epoch 1")
    assert [record.index for record in records] == [0, 1, 2, 2, 3]
    assert records[3].seconds is None


@pytest.mark.parametrize(
    ("state", "reason", "cause"),
    [
        (State.PRUNED, "diverged in epoch 2: the loss is not finite", Cause.DIVERGED),
        (State.PRUNED, "out of memory: no room", Cause.OUT_OF_MEMORY),
        (State.PRUNED, "over the trial_timeout of 5 s after epoch 1", Cause.TIMED_OUT),
        (State.PRUNED, "median rule after epoch 3", Cause.RULE),
        (State.FAILED, "its worker died 3 times, at last in epoch 1", Cause.WORKER_DIED),
        (State.FAILED, "OSError: the disk is on fire", Cause.ERROR),
    ],
)
def test_trials_of_0_1_0_have_causes_too(tmp_path, state, reason, cause) -> None:
    place = Place("test", tmp_path)
    study = begun(place)
    broker = broker_of(study, place, 10)
    (claim,) = broker.claim(1).trials
    broker.settle(claim, ended(state, reason=reason))
    assert CAUSE not in study.get_trials()[0].user_attrs
    assert study.get_trials()[0].user_attrs[REASON] == reason
    assert trial_records(study)[0].cause == cause


def test_the_best_come_first_and_of_equal_ones_the_earlier(tmp_path) -> None:
    place = Place("test", tmp_path)
    study = begun(place)
    broker = broker_of(study, place, 10)
    for claim, accuracy in zip(broker.claim(4).trials, (0.5, 0.9, 0.7, 0.9), strict=True):
        broker.settle(claim, ended(State.COMPLETE, accuracy))
    (pruned,) = broker.claim(1).trials
    broker.report(pruned, epoch(1, 0.99))
    broker.settle(pruned, ended(State.PRUNED, 0.99))
    best = ranked(trial_records(study))[:3]
    assert [record.number for record in best] == [1, 3, 2]


def test_confirmations_are_read_in_the_order_of_their_seeds(tmp_path) -> None:
    study = begun(Place("test", tmp_path))
    for trial, seed, accuracy in ((12, 1, 0.5), (3, 0, 0.7), (12, 0, 0.25), (12, 10, 0.75)):
        study.set_user_attr(CONFIRMED.format(trial=trial, seed=seed), accuracy)
    assert confirmations(study) == {3: [0.7], 12: [0.25, 0.5, 0.75]}
