import optuna
import pytest
from optuna.trial import create_trial

from records.outcome import State
from studies.algorithms import build_pruner
from studies.attributes import trial_records
from studies.broker import Answer
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import Place, work_on
from tests.studies.conftest import SPACE, begun
from tests.studies.workers import ended, epoch

EPOCHS = 12


def study(config: StudyConfig, complete: int = 10) -> optuna.Study:
    """A study with complete trials that all went from 0.1 to 0.9 or so."""
    made = optuna.create_study(direction="maximize", pruner=build_pruner(config, EPOCHS))
    for number in range(complete):
        curve = {e: e / EPOCHS * (0.8 + 0.02 * number) for e in range(1, EPOCHS + 1)}
        made.add_trial(create_trial(value=curve[EPOCHS], intermediate_values=curve))
    return made


def pruned_at(made: optuna.Study, curve) -> int | None:
    trial = made.ask()
    for number in range(1, EPOCHS + 1):
        trial.report(curve(number), number)
        if trial.should_prune():
            return number
    return None


def test_median_spares_the_first_sixth_and_looks_every_sixth() -> None:
    made = study(StudyConfig())
    assert pruned_at(made, lambda epoch: 0.0) == 3  # A sixth of 12 epochs is 2.
    assert pruned_at(made, lambda epoch: 1.0 if epoch < 4 else 0.0) is None  # It led once.
    assert pruned_at(made, lambda epoch: epoch / EPOCHS * (1 if epoch < 4 else 0.5)) in (5, 7)


def test_median_waits_for_enough_complete_trials() -> None:
    assert pruned_at(study(StudyConfig(), complete=9), lambda epoch: 0.0) is None


def test_percentile_keeps_more_than_median() -> None:
    below_the_median = lambda epoch: epoch / EPOCHS * 0.855  # noqa: E731
    assert pruned_at(study(StudyConfig()), below_the_median) == 3
    assert pruned_at(study(StudyConfig(pruner="percentile")), below_the_median) is None
    assert pruned_at(study(StudyConfig(pruner="percentile")), lambda epoch: 0.0) == 3


@pytest.mark.parametrize("pruner", ["hyperband", "successive-halving"])
def test_halving_prunes_the_worst_and_not_before_the_quiet_epochs(pruner) -> None:
    made = study(StudyConfig(pruner=pruner))
    # Halving compares running trials too: give it some that lead.
    for _ in range(6):
        pruned_at(made, lambda epoch: 0.99)
    ends = [pruned_at(made, lambda epoch: 0.01) for _ in range(6)]
    assert any(end is not None for end in ends)
    assert all(end is None or end >= 3 for end in ends)


def test_none_prunes_nobody() -> None:
    assert pruned_at(study(StudyConfig(pruner="none")), lambda epoch: 0.0) is None


def test_a_trial_is_held_against_others_on_the_same_fold(tmp_path) -> None:
    """The pruner takes the best epoch so far, which may be of an easier fold."""
    place = Place("test", tmp_path)
    begun(place)
    config = StudyConfig(startup_trials=1, prune_after=0.0, sampler="random")
    study = work_on(place, config, SPACE, epochs=4)
    broker = SqlBroker(study, place, 2, SPACE, {}, lambda point, index: {"epochs": 2}, folds=2)
    said = []
    for curve in ([0.9, 0.9, 0.5, 0.7], [0.95, 0.95, 0.4]):
        (claim,) = broker.claim(1).trials
        said.append([broker.report(claim, epoch(n, value)) for n, value in enumerate(curve, 1)])
        broker.settle(claim, ended(State.COMPLETE, *curve))
    assert said == [[Answer.GO] * 4, [Answer.GO, Answer.GO, Answer.PRUNE]]
    assert [t.folds for t in trial_records(study)] == [2, 2]
