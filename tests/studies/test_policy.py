"""What is settled trial by trial, and whom a pruner holds a trial against."""

import pytest
from optuna.distributions import IntDistribution
from optuna.study import create_study
from optuna.trial import TrialState, create_trial

from records.outcome import State
from space import parse_space
from studies.algorithms import LikeWithLike
from studies.attributes import CONFIG
from studies.broker import Claims, Given, Policy
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import work_on
from tests.studies.conftest import begun
from tests.studies.workers import ended

SPACE = parse_space("test", {
    "width": {"type": "int", "low": 1, "high": 9, "when": {"kind": "wide"}},
    "depth": {"type": "int", "low": 1, "high": 9, "when": {"kind": "deep"}},
})  # fmt: skip


class Alternating(Policy):
    """Wide trials of at most 3, then deep ones, the first with a given value, until five ended."""

    def may_start(self, trials) -> bool:
        return sum(t.state == State.COMPLETE for t in trials) < 5

    def settle(self, index, trials) -> Given:
        if index < 2:
            return Given({"kind": "wide"}, {"width": 3})
        ended = [t.accuracy for t in trials if t.accuracy is not None]
        return Given({"kind": "deep", "best": max(ended)}, {}, {"depth": 7} if index == 2 else {})


@pytest.fixture
def broker(place):
    begun(place, first=False)
    study = work_on(place, StudyConfig(sampler="random"), SPACE, None)

    def config(point, index):
        return {**point, "index": index, "epochs": 1}

    return SqlBroker(study, place, 100, SPACE, {}, config, Alternating())


def test_a_policy_settles_what_is_not_sampled_and_ends_the_search(broker) -> None:
    configs = []
    while (claims := broker.claim(1)).trials:
        (claim,) = claims.trials
        configs.append(claim.config)
        broker.settle(claim, ended(State.COMPLETE, 0.1 * claim.index))
    assert claims == Claims((), wait=False)
    assert [c["kind"] for c in configs] == ["wide"] * 2 + ["deep"] * 3
    assert all(c["width"] <= 3 and "depth" not in c for c in configs[:2])
    assert configs[2]["depth"] == 7
    assert [c["best"] for c in configs[2:]] == pytest.approx([0.1, 0.2, 0.3])


def test_a_trial_that_is_run_again_keeps_what_was_settled_for_it(broker) -> None:
    for accuracy in (0.1, 0.2):
        (claim,) = broker.claim(1).trials
        broker.settle(claim, ended(State.COMPLETE, accuracy))
    (first,) = broker.claim(1).trials
    (other,) = broker.claim(1).trials
    broker.settle(other, ended(State.COMPLETE, 0.9))
    broker.settle(first, ended(State.REQUEUED))
    (again,) = broker.claim(1).trials
    assert again.number != first.number
    assert again.config == first.config


def test_trials_are_held_against_those_of_their_method_and_length_only() -> None:
    study = create_study(direction="maximize")

    def trial(values: list[float], method: str = "fine_tune", epochs: int = 4, state="COMPLETE"):
        return create_trial(
            value=values[-1], state=TrialState[state], params={"x": 1},
            distributions={"x": IntDistribution(1, 1)},
            user_attrs={CONFIG: {"method": method, "epochs": epochs}},
            intermediate_values=dict(enumerate(values, 1)),
        )  # fmt: skip

    pruner = LikeWithLike(StudyConfig(startup_trials=2, prune_after=0.25))
    behind = trial([0.3, 0.4], state="PRUNED")
    for other in ("probe", "full"):
        study.add_trials([trial([0.9, 0.9, 0.9, 0.9], other) for _ in range(3)])
    study.add_trials([trial([0.9] * 8, epochs=8) for _ in range(3)])
    assert not pruner.prune(study, behind)
    study.add_trials([trial([0.7, 0.8, 0.9, 0.9]) for _ in range(2)])
    assert pruner.prune(study, behind)
    assert not pruner.prune(study, trial([0.7, 0.85], state="PRUNED"))
