"""Confirmation, the choice of the winner, and the count of test evaluations."""

import multiprocessing

import pytest

from records.metrics import read_metrics
from records.statistics import Spread
from records.trial import TrialRecord
from search.finalize.confirm import candidates, confirmation_config, missing
from search.finalize.finish import finish
from search.workers.events import Done
from studies.attributes import CONFIRMED
from studies.study import make_or_resume
from tests.search.conftest import run_task

pytestmark = pytest.mark.slow


def trained(plan, number: int, value: float, **changes) -> TrialRecord:
    config = plan.trial_config({}, number).model_dump() | changes
    return TrialRecord(
        number=number, index=number, state="complete", accuracy=value, params={}, config=config,
        curve={}, history={}, reason=None, started=None, ended=None,
    )  # fmt: skip


@pytest.fixture
def plan(tiny_plan):
    return tiny_plan()


@pytest.fixture
def study(plan):
    return make_or_resume(plan.place, plan.purpose())


def confirmed(study, trial: int, *accuracies: float) -> None:
    for seed, accuracy in enumerate(accuracies):
        study.set_user_attr(CONFIRMED.format(trial=trial, seed=seed), accuracy)


def test_the_best_mean_of_the_confirmations_wins_and_not_the_luckiest_trial(plan, study) -> None:
    top = [trained(plan, 3, 0.9), trained(plan, 5, 0.8)]
    confirmed(study, 3, 0.6, 0.7)
    confirmed(study, 5, 0.8, 0.7)
    ranked = candidates(plan, study, top)
    assert [c.trial.number for c in ranked] == [5, 3]
    assert ranked[0].confirmed == Spread.of([0.8, 0.7])
    assert ranked[0].selection_gap == pytest.approx(0.05)


def test_seeds_of_confirmations_are_fresh_and_the_same_for_all(plan) -> None:
    trials = [trained(plan, number, 0.5) for number in range(20)]
    seeds = [{confirmation_config(plan, t, seed).seed for t in trials} for seed in range(3)]
    assert [len(of_one) for of_one in seeds] == [1, 1, 1]
    fresh = set.union(*seeds)
    assert len(fresh) == 3
    assert not fresh & {t.config["seed"] for t in trials}
    changed = confirmation_config(plan, trained(plan, 1, 0.5, dropout=0.25), 0)
    assert changed.dropout == 0.25


def test_only_what_is_missing_is_confirmed(plan, study) -> None:
    top = [trained(plan, 3, 0.9), trained(plan, 5, 0.8)]
    confirmed(study, 3, 0.6)
    assert [(t.trial, t.seed) for t in missing(plan, study, top)] == [(3, 1), (5, 0), (5, 1)]


class OnePool:
    """A pool whose only worker is this process."""

    def __init__(self, worker) -> None:
        self.worker, self.stop = worker, multiprocessing.get_context("spawn").Event()

    def grow(self, count: int) -> None:
        assert count <= 1

    def close(self) -> None:
        pass

    def run(self, tasks):
        for task in tasks:
            events, result = run_task(task, self.worker)
            yield from ((0, event) for event in events)
            yield 0, Done(result)


def test_another_winner_is_another_test_evaluation(plan, study, worker) -> None:
    def ended(value: float, seed: int) -> int:
        trial = study.ask()
        point = plan.space.sample(trial, plan.fixed)
        trial.set_user_attr("config", plan.trial_config(point, seed).model_dump())
        study.tell(trial, value)
        return trial.number

    def finished() -> tuple[int, int]:
        metrics = finish(plan, study, OnePool(worker), 1, lambda *_: None, lambda _: None)
        assert metrics == read_metrics(plan.folder / "best")
        return metrics.trial, metrics.search.test_evaluations

    first = ended(0.5, 1)
    confirmed(study, first, 0.5, 0.5)
    assert finished() == (first, 1)
    assert finished() == (first, 1)
    worse = ended(0.4, 2)
    confirmed(study, worse, 0.3, 0.3)
    assert finished() == (first, 1)
    better = ended(0.9, 3)
    confirmed(study, better, 0.9, 0.9)
    assert finished() == (better, 2)
    card = (plan.folder / "best" / "README.md").read_text()
    assert "this is test evaluation number 2" in card
    assert (plan.folder / "best-1").is_dir()
