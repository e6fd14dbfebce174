"""Studies with several objectives: configuration, values, pruning, requeueing, sampling."""

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from pydantic import ValidationError

from records.outcome import EpochRecord, Outcome, State
from records.trial import front
from studies.attributes import trial_records
from studies.broker import Answer, Claim
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import Place, Purpose, find, make_or_resume, work_on
from tests.studies.conftest import FIRST, SPACE
from tests.studies.workers import epoch

BOTH = ["accuracy", "parameters", "train_seconds"]
EPOCHS = 4


def opened(place: Place, total: int = 4, **changes) -> SqlBroker:
    config = StudyConfig(objectives=BOTH, startup_trials=1, prune_after=0.0, **changes)
    make_or_resume(place, Purpose({"epochs": EPOCHS}, {}, FIRST, objectives=BOTH))
    study = work_on(place, config, SPACE, epochs=EPOCHS)
    return SqlBroker(study, place, total, SPACE, {}, lambda point, index: {"epochs": EPOCHS})


def told(number: int, score: float, parameters: int, seconds: float = 1.0) -> EpochRecord:
    about = {"parameters": parameters, "seconds": seconds}
    return epoch(number, score).model_copy(update=about)


def run(broker: SqlBroker, scores: list[float], *costs: float) -> tuple[int, list[Answer]]:
    """Run the next trial until it is pruned or ends; its number, and what it was told."""
    (claim,) = broker.claim(1).trials
    records = [told(n, score, *costs) for n, score in enumerate(scores, 1)]
    return claim.number, settle(broker, claim, records)


def settle(broker: SqlBroker, claim: Claim, records: list[EpochRecord]) -> list[Answer]:
    answers = []
    for record in records:
        answers.append(broker.report(claim, record))
        if answers[-1] == Answer.PRUNE:
            break
    state = State.PRUNED if answers[-1] == Answer.PRUNE else State.COMPLETE
    broker.settle(claim, Outcome(state, tuple(records[: len(answers)])))
    return answers


def test_the_first_of_several_is_the_objective() -> None:
    config = StudyConfig(objectives=["macro_f1", "latency"])
    assert (config.objective, config.costs) == ("macro_f1", ("latency",))
    assert StudyConfig.model_validate(config.model_dump()) == config
    one = StudyConfig(objectives=["log_loss"], sampler="cmaes", pruner="none")
    assert (one.objective, one.costs) == ("log_loss", ())
    assert StudyConfig().costs == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objectives": ["parameters", "accuracy"]}, "objectives must be one of accuracy, "),
        ({"objectives": ["accuracy", "macro_f1"]}, "then different ones of parameters, latency"),
        ({"objectives": ["accuracy", "latency", "latency"]}, "but got accuracy, latency, latency"),
        ({"objectives": BOTH, "objective": "macro_f1"}, "begin with 'accuracy': leave one out"),
        (
            {"objectives": BOTH, "sampler": "cmaes", "pruner": "none"},
            "sampler must be one of tpe, gp",
        ),
        ({"objectives": BOTH, "pruner": "hyperband"}, "pruner must be one of median, percentile"),
    ],
)
def test_what_does_not_go_together_is_refused(values, message) -> None:
    with pytest.raises(ValidationError, match=message):
        StudyConfig(**values)


def test_values_are_the_accuracy_and_the_costs(here) -> None:
    broker = opened(here, sampler="random")
    run(broker, [0.1, 0.2, 0.3, 0.4], 1000, 2.0)
    run(broker, [0.1, 0.2, 0.3, 0.35], 500, 1.0)
    study = find(here)
    assert study.directions == [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * 2
    assert study.metric_names == BOTH  # What optuna-dashboard calls the axes.
    assert [t.values for t in study.trials[:2]] == [[0.4, 1000, 8.0], [0.35, 500, 4.0]]
    found = trial_records(study)
    assert [t.accuracy for t in found] == [0.4, 0.35]
    assert found[0].costs == {"parameters": 1000, "train_seconds": 8.0}
    assert found[0].curve == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    assert front(found) == found
    assert [t.number for t in study.best_trials] == [0, 1]


def test_a_trial_is_pruned_only_for_what_costs_no_more(here) -> None:
    broker = opened(here, total=5, sampler="random")
    good, poor = [0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4]
    assert run(broker, good, 1000)[1] == [Answer.GO] * 4
    assert run(broker, poor, 1000)[1] == [Answer.GO, Answer.PRUNE]
    (pruned,) = (t for t in trial_records(find(here)) if t.state == State.PRUNED)
    assert (pruned.accuracy, pruned.costs) == (0.2, {})
    assert run(broker, poor, 999)[1] == [Answer.GO] * 4  # Smaller.
    assert run(broker, poor, 1000, 0.9)[1] == [Answer.GO] * 4  # Faster.
    assert run(broker, good, 2000)[1] == [Answer.GO] * 4
    assert broker.claim(1).trials == ()


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "random"])
def test_samplers_go_on_after_pruned_trials(here, sampler) -> None:
    """TPE would order them in the study's only direction."""
    broker = opened(here, total=4, sampler=sampler)
    for number in range(4):
        worse = number % 2 == 1
        run(broker, [0.1, 0.1, 0.1, 0.1] if worse else [0.5, 0.6, 0.7, 0.8], 1000 + 1000 * worse)
    states = [t.state for t in find(here).trials]
    assert (states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)) == (2, 2)
    assert broker.claim(1).trials == ()


def test_a_trial_of_a_dead_worker_is_run_again_and_costs_what_it_took_once(here) -> None:
    broker, records = opened(here, total=1), [told(n, 0.5, 1000) for n in range(1, EPOCHS + 1)]
    (claim,) = broker.claim(1).trials
    for record in records[:2]:
        broker.report(claim, record)
    broker.settle(claim, Outcome(State.REQUEUED))
    (again,) = broker.claim(1).trials
    assert (again.index, again.params, again.passed) == (0, claim.params, 2)
    settle(broker, again, records)
    first, second = trial_records(find(here))
    assert (first.state, first.costs) == (State.REQUEUED, {})
    assert second.costs == {"parameters": 1000, "train_seconds": 4.0}
    assert broker.claim(1).trials == ()
