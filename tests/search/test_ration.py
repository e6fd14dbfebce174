"""What a search with probes and fine-tunings does when, with a budget and without."""

import time
from datetime import datetime, timedelta

import pytest

from records.outcome import State
from records.trial import TrialRecord
from search.config import load_search_config
from search.display.estimate import times
from search.display.summary import count, plan_lines
from search.plan import settle
from search.plan.clock import Speeds, fitting_resolution
from search.plan.ration import (
    affordable,
    epochs_that_fit,
    may_start,
    rationed,
    reserve,
    settled_for,
    with_clock,
)
from train_core.data.prepare import prepare

LARGE = {"recipe": "pretrained", "training": {}, "space": {}, "confirm": {}}
NOW = 1_000_000.0


def record(number: int, accuracy: float = 0.5, seconds: float = 10.0, **config) -> TrialRecord:
    """A trial that is complete; by default a probe."""
    began, config = datetime(2026, 1, 1), {"method": "probe", "epochs": 1, "l2": 1.0, **config}
    return TrialRecord(
        number=number, index=number, state="complete", accuracy=accuracy, params={}, config=config,
        curve={epoch + 1: accuracy for epoch in range(config["epochs"])}, history={}, reason=None,
        started=began, ended=began + timedelta(seconds=seconds),
    )  # fmt: skip


@pytest.fixture
def mixed(tiny_plan, tmp_path):
    """A plan of probes and fine-tunings, scored on one split; keywords replace sections."""
    pictures, root = str(tmp_path / "pictures"), str(tmp_path / "data")
    data = {"dataset": pictures, "root": root, "image_size": 16, "folds": 1}
    return lambda **changes: tiny_plan(**{**LARGE, "data": data, **changes})


@pytest.fixture
def timed(mixed):
    """The same with a budget of ten minutes that began at `NOW`: 48 + 6 + test pictures."""
    return lambda speeds, **changes: with_clock(
        mixed(**{"trials": None, "budget": 600, **changes}), NOW, 1, speeds
    )


def test_the_first_trials_are_probes_and_the_others_begin_with_the_best_head(mixed) -> None:
    plan = mixed(trials=12)
    assert plan.probes == 6
    assert plan.first == {"l2": plan.training.l2, "views": 0, "levels": 5}
    probe = settled_for(plan, 5, [], NOW)
    assert probe.values["method"] == "probe"
    config = plan.trial_config({**probe.values, "l2": 3.0}, 5)
    assert (config.method, config.epochs, config.l2) == ("probe", 1, 3.0)
    trials = [record(0, 0.5, l2=1.0), record(1, 0.7, l2=0.25, levels=3), record(2, 0.6, l2=4.0)]
    tuned = settled_for(plan, 6, trials, NOW)
    assert tuned.values == {"method": "fine_tune", "l2": 0.25, "levels": 3, "views": 0}


def test_the_first_fine_tuning_is_the_recipes(mixed) -> None:
    plan = mixed(trials=12)
    first = settled_for(plan, 6, [record(0)], NOW).first
    assert first["lr"] == plan.training.lr
    # Small data have more epochs than the recipe says; the nearest that is searched is taken.
    assert first["epochs"] == 20
    later = settled_for(plan, 7, [record(0), record(6, method="fine_tune", epochs=4)], NOW)
    assert not later.first


def test_probes_can_be_all_or_none(mixed) -> None:
    assert mixed(training={"method": "fine_tune"}).probes == 0
    only = mixed(training={"method": "probe"}, trials=6)
    assert settled_for(only, 99, [], NOW).values["method"] == "probe"
    assert mixed(probes=2, trials=6).probes == 2
    # All would be the same.
    assert mixed(space={"fixed": ["l2", "views", "levels"]}, trials=6).probes == 1


def test_probes_belong_to_one_recipe(tiny_plan) -> None:
    with pytest.raises(
        ValueError, match="probes must be left out, since only recipe 'pretrained'"
    ):
        tiny_plan(probes=3)
    with pytest.raises(ValueError, match="space 'pretrained' must go with recipe"):
        tiny_plan(space={"name": "pretrained"})
    with pytest.raises(ValueError, match="'hyperband' compares trainings of one length"):
        tiny_plan(**LARGE, study={"pruner": "hyperband"})
    epochs = {"type": "int", "low": 1, "high": 3}
    with pytest.raises(ValueError, match="epochs cannot be searched"):
        tiny_plan(space={"parameters": {"epochs": epochs}})


def test_large_pictures_get_pretrained_networks_and_ten_minutes(tiny_config) -> None:
    config = tiny_config(recipe=None, training={}, space={}, trials=None)
    small = prepare(config.data)
    assert settle(config, small, "cpu").config.recipe == "cpu"
    large = small.model_copy(update={"crop_size": 224, "image_size": 256})
    plan = settle(config, large, "cpu")
    assert (plan.config.recipe, plan.space.name) == ("pretrained", "pretrained")
    assert (
        plan.reason == "chosen as the pictures are larger than 64 pixels; --recipe names another"
    )
    assert (plan.config.budget, plan.total, plan.usual_budget) == (600, None, True)
    assert plan.training.resolution == 128
    assert settle(config, large, "fast").training.resolution == 224
    own = config.model_copy(update={"training": {"network": "resnet"}})
    assert settle(own, large, "fast").config.recipe == "fast"
    long = config.model_copy(update={"trials": 7})
    assert settle(long, large, "cpu").config.budget is None


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("7", 7)])
def test_budgets_are_times(text, seconds) -> None:
    assert load_search_config(None, {"budget": text}).budget == seconds


def test_the_largest_resolution_whose_pass_fits_is_taken() -> None:
    assert fitting_resolution(224, 1000, 10, 100) == 224
    assert fitting_resolution(224, 1000, 10, 99) == 192
    assert fitting_resolution(224, 1000, 10, 1) == 96
    assert fitting_resolution(80, 1000, 10, 1) == 80


def test_a_budget_cuts_resolution_and_views(mixed) -> None:
    plan = mixed(trials=None, budget=600)
    data = plan.data.model_copy(update={"crop_size": 224})
    plan = plan.model_copy(update={"data": data, "train_count": 6000, "final_count": 6000})
    slow = with_clock(plan, NOW, 1, Speeds(features=15.0))
    assert (slow.clock.resolution, slow.clock.views) == (192, 0)
    probe = settled_for(slow, 0, [], NOW)
    assert probe.values["resolution"] == 192
    assert probe.at_most == {"views": 0, "resolution": 192}
    fast = with_clock(plan, NOW, 1, Speeds(features=150.0))
    assert (fast.clock.resolution, fast.clock.views) == (None, 3)
    said = [line for _, line in times(slow, 1, slow.clock.speeds, count([], None))]
    assert any("probes see 192 pixels instead of 224" in line for line in said)
    assert any("no augmented views" in line for line in said)
    assert any("no fine-tuning fits" in line for line in said)


def test_features_are_computed_once_and_not_counted_on_again(timed) -> None:
    plan = timed(Speeds(features=2.0))
    assert plan.clock.per_view == (plan.train_count / 2.0)
    took = {"history": {"seconds": [2.0]}}  # And the rest of 100 seconds went into features.
    first = record(0, seconds=100.0, views=4).model_copy(update=took)
    assert reserve(plan, [first]) < plan.clock.after + 20 * 2.0
    late = NOW + 600 - reserve(plan, [first]) - 3
    assert may_start(plan, [first], late)
    # One that may be the first to need all views begins only while there is time for them.
    plain = record(0, seconds=100.0, views=0).model_copy(update=took)
    assert not may_start(plan, [plain], late)
    assert may_start(plan, [plain], late - 4 * plan.clock.per_view)


def test_probes_give_way_to_fine_tunings_that_fit(timed) -> None:
    plan = timed(Speeds(training=10.0))
    trials = [record(0)]

    def method(index: int, after: float) -> str:
        return settled_for(plan, index, trials, NOW + after).values["method"]

    assert method(29, 100) == "probe"
    assert method(30, 100) == "fine_tune"
    assert method(5, 310) == "fine_tune"  # Half of the budget is over.
    assert method(5, 550) == "probe"  # None fits any more.


def test_fine_tunings_are_no_longer_than_what_could_still_win(timed) -> None:
    plan = timed(Speeds(training=10.0))
    # 575 seconds but for the test; a trial, one confirmation, and the final training.
    most = settled_for(plan, 30, [record(0)], NOW).at_most["epochs"]
    each = 1.2 * (plan.train_count + plan.validation_count / 3) / 10
    assert most == int(((600 - plan.clock.after) / 3.2 - each / 3) / each)
    measured = [record(0), record(1, method="fine_tune", epochs=4, seconds=200)]
    assert epochs_that_fit(plan, measured, NOW) == int((600 - plan.clock.after) / 3.2 / 50)
    space = plan.space.at_most({"epochs": 5})
    assert (space.parameters["epochs"].low, space.parameters["epochs"].high) == (4, 4)


def test_no_trial_starts_that_would_leave_too_little_for_the_end(timed) -> None:
    plan = timed(Speeds(training=1000.0), recipe="cpu")
    trials = [record(0, method="full", epochs=2, seconds=50)]
    # One more, 3 x 3 confirmations and 3 further ones cost more than a third: that is kept.
    assert may_start(plan, trials, NOW + 349)
    assert not may_start(plan, trials, NOW + 351)
    assert may_start(plan, [], NOW + 599)  # Without a result, there is nothing to export.
    assert may_start(plan, [], NOW + 601)  # A late model is better than none.
    failed = record(0).model_copy(update={"state": State.FAILED})
    assert may_start(plan, [failed], NOW + 599)
    assert not may_start(plan, [failed], NOW + 601)


def test_a_search_without_a_budget_has_no_last_moment(mixed) -> None:
    assert may_start(mixed(), [record(0)], NOW + 1e9)


def test_confirmations_are_cut_to_what_fits(timed) -> None:
    plan = timed(Speeds(training=1000.0), recipe="cpu")
    trials = [record(n, method="full", seconds=45) for n in range(3)]
    assert affordable(plan, trials, NOW) == (3, 2)
    less, said = rationed(plan, trials, NOW)
    assert (less.config.confirm.top, less.config.confirm.seeds) == (3, 2)
    assert said == "confirmations: 3 x 2 instead of 3 x 3, since 10 min 0 s of the budget are left"
    assert affordable(plan, trials, NOW + 599) == (1, 1)
    assert rationed(plan, trials[:1], NOW)[1] is None


def test_what_has_no_random_part_is_confirmed_once(timed) -> None:
    plan = timed(Speeds(features=1000.0))
    assert affordable(plan, [record(n, seconds=60) for n in range(3)], NOW) == (3, 3)


def test_the_plan_says_how_many_of_which_kind(mixed) -> None:
    job = dict(plan_lines(mixed(trials=12)))["job"]
    assert job.startswith("12 trials, the first 6 probes and the others fine-tunings, then 3 x 3")
    timed = dict(plan_lines(mixed(trials=None, budget=60)))["job"]
    assert timed.startswith("as many trials as fit, the first 30 probes")


def test_time_left_is_the_budgets(timed) -> None:
    plan = with_clock(timed(Speeds()), time.time(), 1, Speeds(training=100.0))
    (title, line), *_ = times(plan, 1, Speeds(), count([], None))
    assert title == "budget"
    assert line.startswith("10 min 0 s, ")
