"""The front of several objectives, and its knee, as pure functions."""

import pytest

from records.outcome import EpochRecord, Outcome, State, columns
from records.trial import TrialRecord, front, knee, ranked
from records.words import costs


def trial(number: int, accuracy: float, state: str = "complete", **spent: float) -> TrialRecord:
    return TrialRecord(
        number=number, index=number, state=state, accuracy=accuracy, params={}, config=None,
        curve={}, history={}, reason=None, started=None, ended=None, costs=spent,
    )  # fmt: skip


def numbers(trials) -> list[int]:
    return [t.number for t in trials]


def test_on_the_front_is_what_no_other_trial_beats() -> None:
    trials = [
        trial(0, 0.9, parameters=1000), trial(1, 0.8, parameters=100),
        trial(2, 0.8, parameters=200), trial(3, 0.7, parameters=100),
        trial(4, 0.95, parameters=5000), trial(5, 0.9, parameters=1000),
        trial(6, 0.99, "pruned", parameters=1), trial(7, 0.5, parameters=10),
        trial(8, float("nan"), parameters=1),
    ]  # fmt: skip
    assert numbers(front(trials)) == [4, 0, 1, 7]
    assert numbers(front(reversed(trials))) == [4, 0, 1, 7]


def test_a_trial_may_be_better_in_one_of_three() -> None:
    trials = [
        trial(0, 0.9, parameters=100, latency=2.0), trial(1, 0.9, parameters=200, latency=1.0),
        trial(2, 0.9, parameters=200, latency=2.0), trial(3, 0.8, parameters=100, latency=1.0),
    ]  # fmt: skip
    assert numbers(front(trials)) == [0, 1, 3]


def test_of_equally_accurate_trials_the_cheaper_comes_first() -> None:
    assert numbers(ranked([trial(0, 0.9, latency=2.0), trial(1, 0.9, latency=1.0)])) == [1, 0]
    assert numbers(ranked([trial(1, 0.9), trial(0, 0.9), trial(2, 0.95)])) == [2, 0, 1]


def test_without_costs_there_is_no_front_and_no_knee() -> None:
    assert front([trial(0, 0.9), trial(1, 0.8)]) == []
    assert knee([]) is None


def test_the_knee_is_where_more_accuracy_begins_to_cost_most() -> None:
    bent = [
        trial(0, 0.92, parameters=10_000), trial(1, 0.90, parameters=1000),
        trial(2, 0.60, parameters=100),
    ]  # fmt: skip
    assert knee(bent).number == 1
    # On a straight line, and between two, the most accurate one.
    straight = [trial(n, 0.9 - n / 10, parameters=10 ** (5 - n)) for n in range(3)]
    assert knee(straight).number == 0
    assert knee(bent[::2]).number == 0


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_unit_of_a_cost_does_not_move_the_knee(unit) -> None:
    found = [trial(n, 0.9 - n * n / 100, latency=unit / 3**n) for n in range(5)]
    assert knee(found).number == 2


def test_what_a_training_cost_and_how_it_is_said() -> None:
    about = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    records = tuple(
        EpochRecord(epoch=n, lr=0.1, seconds=1.5, images=10, parameters=1234, **about)
        for n in (1, 2)
    )
    known = Outcome(State.COMPLETE, records).costs
    assert known == {"parameters": 1234, "train_seconds": 3.0}
    assert costs(known | {"latency": 0.00123}) == (
        "1,234 parameters, 3 s of training, 1.23 ms per picture"
    )
    assert not {"parameters", "latency"} & columns(records).keys()
    assert Outcome(State.FAILED).costs == {}
