"""Searches for something else than accuracy."""

from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from records.metrics import figures, read_metrics
from reports.figures import Drawing, figure, of_objective
from search.display.summary import plan_lines
from search.export.evaluation import evaluation
from search.finalize.confirm import Confirm, confirmation_config
from search.finalize.final import beside_accuracy
from search.workers.trial import RunTrials
from studies.attributes import trial_records
from studies.dashboard.notes import trial_note
from studies.study import make_or_resume
from tests.house.test_old_files import ASSETS
from tests.search.conftest import run_task, winner
from tests.search.processes import TINY


def plan_for(tiny_plan, objective: str, **changes):
    return tiny_plan(trials=2, study={**TINY["study"], "objective": objective}, **changes)


@pytest.mark.parametrize("objective", ["macro_f1", "log_loss"])
def test_trials_are_chosen_by_it(tiny_plan, worker, objective) -> None:
    plan = plan_for(tiny_plan, objective)
    study = make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, None), worker)
    for trial in trial_records(study):
        assert list(trial.curve.values()) == pytest.approx(trial.history["val_score"], rel=1e-5)
        assert trial.accuracy == trial.curve[3]
        if objective == "log_loss":
            losses = np.array(trial.history["val_loss"])
            assert list(trial.curve.values()) == pytest.approx(np.exp(-losses), rel=1e-4)
        else:
            assert trial.history["val_score"] != trial.history["val_accuracy"]
    one = winner(plan)
    config = confirmation_config(plan, one.trial, 0)
    events, (_, score) = run_task(Confirm(plan, 4, 0, config), worker)
    assert score == events[-1].outcome.history[-1].val_score


def test_a_study_has_one_objective_and_says_which(tiny_plan) -> None:
    plan = plan_for(tiny_plan, "balanced_accuracy")
    make_or_resume(plan.place, plan.purpose())
    assert "; scored by balanced accuracy" in dict(plan_lines(plan))["search"]
    other = plan_for(tiny_plan, "accuracy")
    with pytest.raises(ValueError, match="objective balanced_accuracy, not accuracy"):
        make_or_resume(other.place, other.purpose())
    assert "scored by" not in dict(plan_lines(other))["search"]


def test_the_test_says_the_same_of_other_images() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 5])
    said = random.dirichlet([1, 1, 1], len(labels))
    named = said.argmax(1)
    tested = SimpleNamespace(
        plain=evaluation(labels, said, ("a", "b", "c")), labels=labels, probabilities=said
    )
    expected = {
        "balanced_accuracy": balanced_accuracy_score(labels, named),
        "macro_f1": f1_score(labels, named, average="macro"),
        "log_loss": np.exp(-log_loss(labels, said)),
    }
    for objective, value in expected.items():
        found = beside_accuracy(objective, tested)
        assert found == {"objective": objective, "test_score": pytest.approx(value)}
    assert beside_accuracy("accuracy", tested) == {}


def test_its_name_is_on_console_card_notes_and_report(tiny_plan) -> None:
    known = read_metrics(ASSETS / "digits-0.1.0" / "best")
    plain = dict(figures(known))
    metrics = known.model_copy(update={"objective": "log_loss", "test_score": 0.5})
    said = dict(figures(metrics))
    assert "(log loss " in said["validation likelihood in the search"]
    assert said["test likelihood"] == "50.00% (log loss 0.6931)"
    assert said["test accuracy"] == plain["test accuracy"]
    assert [e.accuracy for e in metrics.estimates[1:]] == [known.confirmed.mean, 0.5]
    trial = winner(plan_for(tiny_plan, "macro_f1")).trial
    assert "90.00% validation macro F1 after 1 epoch" in trial_note(trial, "macro F1")
    drawn = figure([go.Scatter(x=[1], y=[1])], "trial", "validation accuracy")
    one = Drawing("key", "Title", drawn, "Validation accuracy by trial.")
    assert of_objective(one, "accuracy") is one
    named = of_objective(one, "macro F1")
    assert named.alt == "Validation macro F1 by trial."
    assert named.figure.layout.yaxis.title.text == "validation macro F1"
