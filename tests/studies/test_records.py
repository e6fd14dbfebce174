import os

from optuna.trial import TrialState

from records.trial import ranked
from studies.attributes import CONFIG, CONFIRMED, HISTORY, REASON, this_host
from studies.broker import Ledger
from studies.study import Place
from studies.trials import confirmations, trial_records
from tests.studies.conftest import FIRST, SPACE, begun


def test_records_say_what_happened(tmp_path) -> None:
    place = Place("test", tmp_path)
    study = begun(place)
    ledger = Ledger(study, place, 10)

    complete = ledger.claim().trial
    SPACE.sample(complete, {})
    complete.set_user_attr(CONFIG, {"epochs": 2})
    complete.set_user_attr(HISTORY, {"train_loss": [2.0, 1.0]})
    complete.report(0.5, 1)
    complete.report(0.75, 2)
    study.tell(complete, 0.75)
    pruned = ledger.claim().trial
    pruned.report(0.25, 1)
    pruned.set_user_attr(REASON, "median rule after epoch 1")
    study.tell(pruned, state=TrialState.PRUNED)
    ledger.hand_back(ledger.claim().trial.number)
    ledger.claim()
    study.tell(ledger.claim().trial, state=TrialState.FAIL)

    records = trial_records(study)
    states = ["complete", "pruned", "requeued", "running", "failed"]
    assert [record.state for record in records] == states
    first = records[0]
    assert (first.value, first.params, first.config) == (0.75, FIRST, {"epochs": 2})
    assert (first.curve, first.history) == ({1: 0.5, 2: 0.75}, {"train_loss": [2.0, 1.0]})
    assert first.seconds is not None
    assert first.worker == f"{this_host()}:{os.getpid()}"
    assert (records[1].value, records[1].reason) == (0.25, "median rule after epoch 1")
    assert [record.index for record in records] == [0, 1, 2, 2, 3]
    assert records[3].seconds is None


def test_the_best_come_first_and_of_equal_ones_the_earlier(tmp_path) -> None:
    place = Place("test", tmp_path)
    study = begun(place)
    ledger = Ledger(study, place, 10)
    for value in (0.5, 0.9, 0.7, 0.9):
        study.tell(ledger.claim().trial, value)
    pruned = ledger.claim().trial
    pruned.report(0.99, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    best = ranked(trial_records(study))[:3]
    assert [record.number for record in best] == [1, 3, 2]


def test_confirmations_are_read_in_the_order_of_their_seeds(tmp_path) -> None:
    study = begun(Place("test", tmp_path))
    for trial, seed, accuracy in ((12, 1, 0.5), (3, 0, 0.7), (12, 0, 0.25), (12, 10, 0.75)):
        study.set_user_attr(CONFIRMED.format(trial=trial, seed=seed), accuracy)
    assert confirmations(study) == {3: [0.7], 12: [0.25, 0.5, 0.75]}
