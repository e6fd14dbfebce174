"""A search whose trials are scored on folds, from the plan to the export."""

import numpy as np
import pytest

from records.metrics import Validated, figures, read_metrics
from records.statistics import Spread
from search.display.progress import in_words
from search.display.summary import count, plan_lines
from search.finalize.calibrate import kept_gaps, kept_predictions
from search.finalize.confirm import Confirm, confirmation_config
from search.finalize.final import validated
from search.workers.events import Began, Ended, EpochEnded
from search.workers.training_files import checkpoint_of_trial
from search.workers.trial import RunTrials
from studies.attributes import trial_records
from studies.study import make_or_resume
from tests.house.test_old_files import ASSETS
from tests.search.conftest import config_in, plan_in, run_task, winner
from tests.search.processes import TINY

pytestmark = pytest.mark.slow

QUICK = {**TINY["training"], "epochs": 2}


def in_folds(folder, folds: int = 3, **changes):
    """A plan whose trials are scored on folds of its 60 training images."""
    known = config_in(folder).data.model_dump(exclude_none=True)
    changes = {"trials": 2, "training": QUICK, **changes}
    return plan_in(folder, **{**changes, "data": {**known, "folds": folds}})


@pytest.fixture
def plan(image_folder, tmp_path):
    return in_folds(tmp_path)


def search(plan, worker):
    study = make_or_resume(plan.place, plan.purpose())
    events, _ = run_task(RunTrials(plan, None), worker)
    return study, events


def test_the_plan_counts_every_image_once(plan) -> None:
    assert (plan.train_count, plan.validation_count, plan.final_count) == (40, 60, 60)
    told = dict(plan_lines(plan))
    assert "60 training images in 3 folds" in told["data"]
    assert "final training on 60 images" in told["job"]


def test_trials_are_scored_by_the_mean_over_folds_and_keep_each(plan, worker) -> None:
    study, events = search(plan, worker)
    first = trial_records(study)[0]
    assert sorted(first.curve) == [1, 2, 3, 4, 5, 6]
    assert len(first.fold_scores) == 3
    assert first.accuracy == pytest.approx(np.mean(first.fold_scores), abs=1e-5)
    assert first.curve[6] == first.accuracy
    assert [first.curve[2], first.curve[4]] == pytest.approx(first.fold_scores[:2], abs=1e-5)
    assert [e.epochs for e in events if isinstance(e, Began)] == [6, 6]
    ended = next(e for e in events if isinstance(e, Ended))
    said = f"(3 folds, sd {np.std(first.fold_scores, ddof=1):.2%})"
    assert said in in_words(ended)
    assert said in count([first], 2).best_so_far()


def test_a_stopped_trial_goes_on_in_its_fold_bit_for_bit(plan, tmp_path, worker) -> None:
    undisturbed, _ = search(plan, worker)
    other = in_folds(tmp_path, runs=str(tmp_path / "others"))
    study = make_or_resume(other.place, other.purpose())
    for event in RunTrials(other, None).run(worker):
        if isinstance(event, EpochEnded) and (event.job, event.epoch) == ("trial 0", 3):
            worker._stop.set()
    worker._stop.up = False
    assert checkpoint_of_trial(other, 0).path.exists()
    run_task(RunTrials(other, None), worker)
    again = [r for r in trial_records(study) if r.state in ("complete", "pruned")]
    facts = [
        [(t.params, t.curve, t.fold_scores) for t in s]
        for s in (again, trial_records(undisturbed))
    ]
    assert facts[0] == facts[1]


def test_confirmations_have_folds_of_their_own_and_predict_every_image(plan, worker) -> None:
    one = winner(plan)
    configs = [confirmation_config(plan, one.trial, seed) for seed in range(2)]
    tasks = [Confirm(plan, one.trial.number, seed, c) for seed, c in enumerate(configs)]
    held = []
    for task in tasks:
        _, (_, accuracy) = run_task(task, worker)
        assert 0 <= accuracy <= 1
        held.append([rows.tolist() for rows in worker.folds(plan.data, task._data).held_out])
    assert held[0] != held[1] != plan.data.folds(plan.config.data)
    said = kept_predictions(plan, one.trial.number, configs)
    assert said.rows.tolist() == list(range(60))
    assert said.probabilities.shape == (2, 60, 3)
    hits = said.probabilities[1].argmax(1) == said.labels
    assert np.mean([hits[rows].mean() for rows in held[1]]) == pytest.approx(accuracy)
    assert len(kept_gaps(plan, one.trial.number, configs)) == 6


def test_the_export_says_over_how_many_folds(plan) -> None:
    trial = winner(plan).trial
    assert validated(trial, 60) == Validated(accuracy=0.9, n=60)
    history = {"fold_score": [None, 0.8, None, 1.0]}
    on_folds = validated(trial.model_copy(update={"history": history}), 60)
    assert on_folds.folds == Spread.of([0.8, 1.0])
    known = read_metrics(ASSETS / "digits-0.1.0" / "best")
    metrics = known.model_copy(update={"validation": on_folds})
    claim = dict(figures(metrics))["validation accuracy in the search"]
    assert claim.endswith("n = 60 in 2 folds, sd 14.14%)")


@pytest.mark.parametrize("changed", [2, 1])
def test_a_study_keeps_its_folds(plan, tmp_path, changed) -> None:
    make_or_resume(plan.place, plan.purpose())
    other = in_folds(tmp_path, changed)
    with pytest.raises(ValueError, match=f"folds 3, not {changed}"):
        make_or_resume(other.place, other.purpose())


def test_one_fold_is_what_studies_had_before_there_were_folds(tiny_plan) -> None:
    plan = tiny_plan()
    assert plan.folds == 1
    purpose = plan.purpose()
    assert purpose.fingerprint["split"] == plan.data.rows(plan.config.data).digest()
    assert purpose.settings["data"]["folds"] == 1
    del purpose.settings["data"]["folds"]
    make_or_resume(plan.place, purpose)
    make_or_resume(plan.place, plan.purpose())


def test_patience_and_folds_exclude_each_other(image_folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="patience must be 0 where trials are scored on 3 folds"):
        in_folds(tmp_path, training={**QUICK, "patience": 1})
