"""A search that begins with what another one has learned, as a whole."""

from itertools import chain

import pytest
from optuna.trial import create_trial

from records.outcome import State
from search.display.prospects import prospects
from search.plan.lessons import begin, learned
from search.workers.trial import open_broker
from studies.attributes import trial_records
from studies.broker import Claims
from studies.study import make_or_resume
from tests.search.processes import TINY
from tests.studies.workers import ended, score

LR = {"low": 1.0, "high": 40.0}


def wider(**changes) -> dict:
    """A config whose learning rates reach further, and which searches one more parameter."""
    own = TINY["space"]["parameters"] | {"momentum": {"type": "float", "low": 0.5, "high": 0.95}}
    space = {**TINY["space"], "parameters": own, "ranges": {"lr": [LR["low"], LR["high"]]}}
    return {"space": space, "trials": 3, **changes}


def run(plan) -> None:
    """Run what is missing of the trials, without the trainings."""
    broker = open_broker(plan)
    while claims := broker.claim(1).trials:
        broker.settle(claims[0], ended(State.COMPLETE, score(claims[0].params)))


@pytest.fixture
def searched(tiny_plan):
    """The plan of a search whose trials are over."""
    plan = tiny_plan()
    begin(plan)
    run(plan)
    return plan


def test_a_wider_space_keeps_the_trials_and_runs_as_many_new_ones_as_it_is_asked_for(
    searched, tiny_plan
) -> None:
    old = trial_records(begin(searched))
    fit = [t for t in old if t.params["lr"] >= LR["low"]]
    plan = tiny_plan(
        **wider(study={"name": "wider", "continue_from": "tiny", "startup_trials": 2})
    )
    study = begin(plan)
    run(plan)
    trials = trial_records(begin(plan))
    taken, own = trials[: len(fit)], trials[len(fit) :]
    assert [t.origin.trial for t in taken] == [t.number for t in fit]
    assert all(t.params["momentum"] == plan.training.momentum for t in taken)
    # The recipe's own point was among them, and is not run again.
    assert taken[0].params == plan.first
    assert [t.done for t in own] == [True] * 3
    assert all(t.params != plan.first and t.origin is None for t in own)
    (said,) = learned(study)
    assert said.startswith(f"took over {len(fit)} of 6 trials of 'tiny'")


def test_what_does_not_fit_leaves_no_study_behind(tiny_plan) -> None:
    begin(tiny_plan())
    study = {"name": "other", "continue_from": "tiny"}
    longer = {**TINY["training"], "epochs": 4}
    for changes, why in (
        ({"training": longer, "study": study}, "'tiny' has epochs 3, not 4: undo that, or use"),
        ({"study": {"name": "other", "continue_from": "gone"}}, "no study 'gone'.*holds tiny"),
        ({"study": {"name": "other", "warm_start": ["gone"]}}, "no study 'gone'.*holds tiny"),
        ({"study": {"name": "other", "warm_start": ["other"]}}, "must name another study"),
    ):
        plan = tiny_plan(**changes)
        with pytest.raises(ValueError, match=why):
            begin(plan)
        assert not plan.folder.exists()


def test_a_changed_space_says_how_to_keep_the_trials(tiny_plan) -> None:
    begin(tiny_plan())
    plan = tiny_plan(**wider())
    with pytest.raises(ValueError, match="--study NAME --continue-from tiny, which keeps"):
        begin(plan)
    plan = tiny_plan(**wider(training={**TINY["training"], "epochs": 4}))
    with pytest.raises(ValueError, match="--study NAME$"):
        begin(plan)


def test_a_warm_start_takes_points_from_other_trainings(searched, tiny_plan) -> None:
    longer = {**TINY["training"], "epochs": 4}
    study = {"name": "warm", "warm_start": ["tiny"], "startup_trials": 2}
    plan = tiny_plan(**wider(training=longer, study=study))
    waiting = begin(plan).trials
    (said,) = learned(begin(plan))
    assert said.startswith("warm start: the best ")
    fixed = [t.system_attrs["fixed_params"] for t in waiting]
    assert fixed[0] == plan.first
    best = max((t for t in trial_records(begin(searched)) if t.result), key=lambda t: t.result)
    origins = [t.origin.trial for t in trial_records(begin(plan))[1:]]
    if best.params["lr"] > LR["low"] and {**plan.first, **best.params} != plan.first:
        assert origins[0] == best.number
        assert fixed[1] == {**plan.first, **best.params}
    assert len(origins) == len(set(origins)) > 0


def test_a_plateau_ends_the_search_and_says_so(tiny_plan) -> None:
    study = {"stop": "plateau", "least_gain": 1.0, "startup_trials": 2}
    plan = tiny_plan(trials=100, study=study)
    made = make_or_resume(plan.place, plan.purpose())
    for number in range(20):
        made.add_trial(create_trial(value=0.5 + 0.01 * number))
    assert open_broker(plan).claim(1) == Claims()
    (said,) = prospects(plan, trial_records(made))
    assert said.startswith("plateau after 20 trials: no further trials, since 20 more trials are ")
    assert said.endswith("[study] least_gain is 100.00%")
    asked = tiny_plan(trials=100, study={**study, "stop": "trials"})
    assert len(open_broker(asked).claim(1).trials) == 1
    (said,) = prospects(asked, trial_records(made))
    assert said.startswith("20 more trials are expected to bring +")
    assert list(chain(prospects(plan, []))) == []


def test_an_audit_is_the_searchs_own(tiny_plan) -> None:
    plan = tiny_plan(study={"audit": 0.4, "seed": 3, "startup_trials": 2})
    make_or_resume(plan.place, plan.purpose())
    audit = open_broker(plan)._broker._audit
    assert (audit.share, audit.seed) == (0.4, 3)
