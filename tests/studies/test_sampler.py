import pytest
from optuna.samplers import TPESampler
from pydantic import ValidationError

from records.outcome import State
from space import load_space
from studies.algorithms import seed_for
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import Place, Purpose, make_or_resume, work_on
from tests.studies.workers import ended, score


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
@pytest.mark.parametrize("name", ["default", "extended"])
def test_every_sampler_runs_every_space(tmp_path, sampler, name) -> None:
    fixed = {"optimizer": "sgd", "recipe": "cpu"}
    space = load_space(name).given(fixed)
    place = Place("test", tmp_path)
    make_or_resume(place, Purpose({}, {}, None))
    config = StudyConfig(sampler=sampler, pruner="none", startup_trials=3)
    study = work_on(place, config, space, 6)
    broker = SqlBroker(study, place, 6, space, fixed, lambda point, index: point)
    points = []
    while claims := broker.claim(1).trials:
        points.append(claims[0].config)
        broker.settle(claims[0], ended(State.COMPLETE, score(points[-1])))
    assert len(points) == 6
    assert len({repr(point) for point in points}) == 6


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_samplers_that_learn_nothing_from_pruned_trials_refuse_a_pruner(sampler) -> None:
    with pytest.raises(ValidationError, match="learns nothing from pruned trials"):
        StudyConfig(sampler=sampler)
    assert StudyConfig(sampler=sampler, pruner="none").sampler == sampler


def test_the_kept_search_space_is_the_one_that_a_fresh_tpe_finds(tmp_path) -> None:
    space = load_space("default").given({"optimizer": "sgd", "recipe": "cpu"})
    place = Place("test", tmp_path)
    make_or_resume(place, Purpose({}, {}, {}))
    study = work_on(place, StudyConfig(startup_trials=2), space, 6)
    seen = []
    for _ in range(5):
        trial = study.ask()
        kept = study.sampler.infer_relative_search_space(study, trial)
        assert kept == TPESampler(multivariate=True).infer_relative_search_space(study, trial)
        seen.append(len(kept))
        study.tell(trial, score(space.sample(trial, {"optimizer": "sgd"})))
    assert seen == [0, 5, 5, 5, 5]


def test_seeds_depend_on_every_number_of_their_path() -> None:
    seeds = {seed_for(s, *path) for s in range(3) for path in [(0, 1), (1, 0), (0, 0), (0,), (1,)]}
    assert len(seeds) == 15
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for(5, 2, 7) == seed_for(5, 2, 7)
