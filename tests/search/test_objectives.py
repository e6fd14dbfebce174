"""Searches for several objectives at once: costs, the front, and what is exported of it."""

import json

import pytest

from records.metrics import read_metrics
from records.outcome import State
from records.trial import front, knee, ranked
from reports.run import write_report
from search.display.beside import front_lines
from search.display.dashboard import Watch
from search.display.progress import EventLog
from search.display.summary import SearchResult, count, last_lines, plan_lines
from search.export.costs import costs_of, untrained
from search.finalize.pick import picked_trial, to_confirm, trial_called
from search.workers.trial import RunTrials
from studies.attributes import CONFIRMED, trial_records
from studies.study import make_or_resume
from tests.search.conftest import run_task
from tests.search.processes import TINY
from train_core.config import TrainConfig
from train_core.model import TrainedModel

SIZE = ["accuracy", "parameters"]
BOTH = [*SIZE, "latency"]


def several(objectives: list[str], **changes) -> dict:
    return {**TINY["study"], "objectives": objectives, "pruner": "none", **changes}


def test_costs_that_cannot_differ_are_refused(tiny_plan) -> None:
    depth = {"fixed": ["depth", "batch_size"], "parameters": {}}
    with pytest.raises(ValueError, match="but parameters depends on network, width, depth, and"):
        tiny_plan(study=several(SIZE), space=depth)
    tiny_plan(study=several(["accuracy", "train_seconds"]), space=depth)
    with pytest.raises(ValueError, match=r'pick = "knee" under \[confirm\] needs several'):
        tiny_plan(confirm={"pick": "knee"})


def test_the_plan_says_what_is_kept_low_and_how_it_prunes(tiny_plan) -> None:
    plan = tiny_plan(study=several(SIZE, pruner="median"))
    said = dict(plan_lines(plan))["search"]
    how = "pruner median among trials that cost no more; scored by accuracy, with "
    assert said.endswith(f"{how}parameters kept low")
    make_or_resume(plan.place, plan.purpose())
    other = tiny_plan(study=several([*SIZE, "train_seconds"]))
    with pytest.raises(ValueError, match="costs parameters, not parameters and train_seconds"):
        make_or_resume(other.place, other.purpose())


@pytest.mark.slow
def test_a_latency_is_measured_once_for_all_networks_of_a_shape(data, tmp_path) -> None:
    config = TrainConfig(width=4, depth=1, batch_size=16)
    model = untrained(config, data)
    own = costs_of(config, data, {"parameters", "latency"}, tmp_path)
    assert own["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert 0 < own["latency"] < 1
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps({"seconds": 0.5}))
    other = config.model_copy(update={"lr": 1.0, "batch_size": 8, "seed": 3})
    assert costs_of(other, data, {"latency"}, tmp_path) == {"latency": 0.5}


@pytest.fixture
def searched(tiny_plan, worker, monkeypatch):
    """A search for accuracy, few parameters and speed, with all trials."""
    measured: list[TrainedModel] = []

    def fast(model: TrainedModel) -> float:
        """Without an export, which takes seconds."""
        measured.append(model)
        return 1e-6 * sum(p.numel() for p in model.network.parameters())

    monkeypatch.setattr("search.export.costs.latency", fast)
    plan = tiny_plan(trials=5, study=several(BOTH))
    study = make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, None), worker)
    assert len(measured) == 2  # One of each depth.
    return plan, study


@pytest.mark.slow
def test_a_search_ends_with_a_front_of_which_each_trial_can_be_exported(
    searched, finish_here, tmp_path
) -> None:
    plan, study = searched
    trials = trial_records(study)
    assert [t.state for t in trials] == [State.COMPLETE] * 5
    by_depth = {t.config["depth"]: t.costs for t in trials}
    assert all(t.costs == by_depth[t.config["depth"]] for t in trials)
    assert by_depth[1]["parameters"] < by_depth[2]["parameters"]
    assert [list(t.costs) for t in trials] == [["parameters", "latency"]] * 5
    assert [t.values[2] for t in study.trials] == [t.costs["latency"] for t in trials]
    found, best = front(trials), ranked(trials)[0]
    assert found[0].accuracy == best.accuracy
    assert to_confirm(plan, ranked(trials), None) == ranked(trials)[:2]
    for seed in range(2):  # Of the most accurate one, as an earlier export left them.
        study.set_user_attr(CONFIRMED.format(trial=best.number, seed=seed), 0.9)
    other = next(t for t in trials if t.costs != best.costs)
    picking = plan.model_copy(update={"pick": str(other.number)})
    picked = finish_here(picking, study)
    assert (picked.trial, picked.search.picked) == (other.number, "by number")
    size = other.costs["parameters"]
    assert (picked.parameters, picked.search.best.trial) == (size, best.number)
    assert picked.selection_gap == pytest.approx(best.accuracy - 0.9)
    assert picked == read_metrics(plan.folder / "best") == finish_here(picking, study)
    assert picked.costs == other.costs
    told = list(last_lines(SearchResult(plan.place, count(trials, 5), None, picked)))
    assert any(t.startswith(f"kept low in the search: {size:,.0f} parameters, ") for t in told)
    assert any(line.endswith("--pick TRIAL exports another one of them") for line in told)
    page = write_report(plan.place).read_text()
    assert "The exported trial was picked (by number)." in page
    assert "The study has moved on" not in page


@pytest.mark.slow
def test_the_dashboard_and_the_console_show_the_front(searched) -> None:
    plan, study = searched
    trials = trial_records(study)
    said: list[str] = []
    Watch(plan, study, EventLog(plan.folder), said.append).update()
    assert said == []
    attributes = study._storage.get_study_system_attrs(study._study_id)
    notes = "".join(str(v) for k, v in attributes.items() if "note_str" in k)
    assert "Front: trial " in notes
    assert ", the knee: " in notes
    lines = list(front_lines(front(trials), "finalize"))
    assert lines[0] == "front of accuracy and parameters and latency, which no other trial beats:"
    assert len(lines) == len(front(trials)) + 2
    assert list(front_lines([], "finalize")) == []
    assert trial_called("knee", trials) == knee(front(trials))
    assert trial_called("winner", trials) is None
    assert picked_trial(plan, trials) is None
    bent = plan.config.confirm.model_copy(update={"pick": "knee"})
    bent_plan = plan.model_copy(
        update={"config": plan.config.model_copy(update={"confirm": bent})}
    )
    assert picked_trial(bent_plan, trials) == knee(front(trials))
    assert picked_trial(bent_plan.model_copy(update={"pick": "winner"}), trials) is None
    with pytest.raises(
        ValueError, match=r"number of a complete trial, .* but got '99'; on the fr"
    ):
        trial_called("99", trials)


def test_what_cannot_be_picked_is_one_line_and_exit_code_2(tiny_plan, run_here) -> None:
    plan = tiny_plan()
    make_or_resume(plan.place, plan.purpose())
    for pick, message in (("knee", "the knee is a trial of a front, but"), ("0", "but got '0'")):
        outcome = run_here(
            "search.finalize.__main__", "--study", "tiny", "--runs", plan.config.runs,
            "--pick", pick,
        )  # fmt: skip
        assert (outcome.returncode, outcome.stderr.count("\n")) == (2, 1), outcome.stderr
        assert message in outcome.stderr
