"""Confirmation, the choice of the winner, and the count of test evaluations."""

import pytest

from records.metrics import read_metrics
from records.statistics import Spread
from records.trial import TrialRecord
from search.display.summary import SearchResult, conclude, count
from search.finalize.confirm import (
    candidates,
    confirmation_config,
    missing,
    missing_further,
    with_further,
)
from search.finalize.finish import finish
from search.workers.events import Done
from studies.attributes import CONFIRMED, EXPORTED, FURTHER, TEST_EVALUATIONS
from studies.broker.owner import this_host
from studies.study import make_or_resume
from tests.search.conftest import Flag

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


def confirmed(study, trial: int, *accuracies: float, attribute: str = CONFIRMED) -> None:
    for seed, accuracy in enumerate(accuracies):
        study.set_user_attr(attribute.format(trial=trial, seed=seed), accuracy)


def ended(plan, study, value: float, seed: int) -> int:
    trial = study.ask()
    point = plan.space.sample(trial, plan.fixed)
    trial.set_user_attr("config", plan.trial_config(point, seed).model_dump())
    study.tell(trial, value)
    return trial.number


def test_the_best_mean_of_the_confirmations_wins_and_not_the_luckiest_trial(plan, study) -> None:
    top = [trained(plan, 3, 0.9), trained(plan, 5, 0.8)]
    confirmed(study, 3, 0.6, 0.7)
    confirmed(study, 5, 0.8, 0.7)
    ranked = candidates(plan, study, top)
    assert [c.trial.number for c in ranked] == [5, 3]
    assert ranked[0].confirmed == Spread.of([0.8, 0.7])
    assert ranked[1].selection_gap == pytest.approx(0.25)


def test_what_is_reported_of_the_winner_had_no_part_in_choosing_it(plan, study) -> None:
    top = [trained(plan, 3, 0.9), trained(plan, 5, 0.8)]
    confirmed(study, 3, 0.6, 0.7)
    confirmed(study, 5, 0.8, 0.7)
    confirmed(study, 5, 0.65, 0.6, attribute=FURTHER)
    chosen = candidates(plan, study, top)[0]
    winner = with_further(plan, study, chosen)
    assert winner.chosen_by == chosen.chosen_by == Spread.of([0.8, 0.7])
    assert winner.confirmed == Spread.of([0.65, 0.6])


def test_seeds_of_confirmations_are_fresh_and_the_same_for_all(plan) -> None:
    trials = [trained(plan, number, 0.5) for number in range(20)]
    seeds = [
        {confirmation_config(plan, t, seed, further=further).seed for t in trials}
        for seed in range(3)
        for further in (False, True)
    ]
    assert [len(of_one) for of_one in seeds] == [1] * 6
    fresh = set.union(*seeds)
    assert len(fresh) == 6
    assert not fresh & {t.config["seed"] for t in trials}
    changed = confirmation_config(plan, trained(plan, 1, 0.5, dropout=0.25), 0)
    assert changed.dropout == 0.25


def test_only_what_is_missing_is_confirmed(plan, study) -> None:
    top = [trained(plan, 3, 0.9), trained(plan, 5, 0.8)]
    confirmed(study, 3, 0.6)
    assert [(t.trial, t.seed) for t in missing(plan, study, top)] == [(3, 1), (5, 0), (5, 1)]
    confirmed(study, 5, 0.6, attribute=FURTHER)
    left = missing_further(plan, study, top[1])
    assert [(t.trial, t.seed, t.further) for t in left] == [(5, 1, True)]


class StoppedPool:
    """A pool that trains in no time and is asked to stop after so many trainings."""

    def __init__(self, trainings: int) -> None:
        self.left, self.stop = trainings, Flag()
        self.tasks: list[tuple[int, int, bool]] = []

    def grow(self, count: int) -> None:
        pass

    def run(self, tasks):
        for task in tasks:
            self.tasks.append((task.trial, task.seed, task.further))
            yield 0, Done((task, 0.9 if task.trial else 0.5))
            self.left -= 1
            if not self.left:
                self.stop.set()
                return


def test_without_a_complete_trial_it_says_so_and_the_exit_code_is_1(plan, study, capsys) -> None:
    said: list[str] = []
    assert finish(plan, study, StoppedPool(trainings=1), 1, lambda *_: None, said.append) is None
    (line,) = said
    assert "has no complete trial, so there is nothing to confirm or export: run more" in line
    assert conclude(lambda: SearchResult(plan.place, count([], 6), None, None)) == 1
    assert capsys.readouterr() == ("", "")


def test_a_stop_at_any_moment_trains_nothing_twice_and_leaves_nothing_out(plan, study) -> None:
    for number, value in enumerate((0.7, 0.6)):
        assert ended(plan, study, value, number) == number
    trained_so_far: list[tuple[int, int, bool]] = []
    for _ in range(6):
        pool = StoppedPool(trainings=1)
        assert finish(plan, study, pool, 1, lambda *_: None, lambda _: None) is None
        trained_so_far += pool.tasks
    shared = [(trial, seed, False) for trial in (0, 1) for seed in (0, 1)]
    assert trained_so_far == [*shared, (1, 0, True), (1, 1, True)]


def test_another_winner_is_another_test_evaluation(plan, study, finish_here) -> None:
    def finished() -> tuple[int, int]:
        metrics = finish_here(plan, study)
        assert metrics == read_metrics(plan.folder / "best")
        return metrics.trial, metrics.search.test_evaluations

    first = ended(plan, study, 0.5, 1)
    confirmed(study, first, 0.5, 0.5)
    assert finished() == (first, 1)
    assert finished() == (first, 1)
    worse = ended(plan, study, 0.6, 2)
    confirmed(study, worse, 0.3, 0.3)
    confirmed(study, first, 0.45, 0.4, attribute=FURTHER)
    assert finished() == (first, 1)
    told = read_metrics(plan.folder / "best")
    assert told.confirmed == Spread.of([0.45, 0.4])
    assert told.search.best.trial == worse
    assert told.selection_gap == pytest.approx(0.6 - 0.3)
    better = ended(plan, study, 0.9, 3)
    confirmed(study, better, 0.9, 0.9)
    confirmed(study, better, 0.8, 0.7, attribute=FURTHER)
    assert finished() == (better, 2)
    told = read_metrics(plan.folder / "best")
    assert (told.confirmed, told.selection_gap) == (Spread.of([0.8, 0.7]), 0.0)
    card = (plan.folder / "best" / "README.md").read_text()
    assert "this is test evaluation number 2" in card
    assert (plan.folder / "best-1").is_dir()


def test_what_another_host_has_tested_is_not_tested_again(
    plan, study, finish_here, capsys, tmp_path
) -> None:
    first = ended(plan, study, 0.5, 1)
    confirmed(study, first, 0.5, 0.5)
    finish_here(plan, study)
    here = {**study.user_attrs[EXPORTED]}
    assert here == {"host": this_host(), "folder": str(plan.folder / "best"), "trial": first}
    (plan.folder / "best").rename(tmp_path / "elsewhere")
    study.set_user_attr(EXPORTED, here | {"host": "other"})
    said: list[str] = []
    asked = plan, study, StoppedPool(trainings=1), 1, lambda *_: None, said.append
    assert finish(*asked, anyway=False) is None
    assert f"trial {first} won, and its model is in {here['folder']} on other" in said[-1]
    assert study.user_attrs[TEST_EVALUATIONS] == 1
    assert conclude(lambda: SearchResult(plan.place, count([], 6), None, None)) == 0
    assert finish_here(plan, study).search.test_evaluations == 2
