"""Searches of probes and fine-tunings, with a small network and weights of its own."""

import pytest
import torch

from records.outcome import State
from search.display.progress import PlainLines, in_words
from search.finalize.confirm import candidates, missing, missing_further, with_further
from search.workers.events import Began, Progressed
from search.workers.tasks import ComputeFeatures, MeasureSpeed, probe_of
from search.workers.trial import RunTrials
from studies.attributes import trial_records
from studies.study import make_or_resume
from tests.search.conftest import config_in, new_worker, run_task
from tests.search.processes import TINY
from train_core.engine import feature_steps, features_needed
from train_core.networks import NetworkShape, build_network

NETWORK = "timm/test_efficientnet"
SHORT = {
    "epochs": {"type": "int", "low": 1, "high": 3, "step": 2, "when": {"method": "fine_tune"}}
}


@pytest.fixture
def mixed(tiny_plan, tmp_path):
    """A plan of probes and fine-tunings; keywords replace sections."""
    network = build_network(NetworkShape.of(NETWORK, {"image_size": 16}, 10))
    network.reset(torch.Generator().manual_seed(0), torch.empty(0))
    file = tmp_path / "weights.pth"
    torch.save({k: v for k, v in network.state_dict().items() if not k.startswith("head.")}, file)
    training = {"network": NETWORK, "weights": str(file), "batch_size": 16, "epochs": 1}
    pictures, root = str(tmp_path / "pictures"), str(tmp_path / "data")
    data = {"dataset": pictures, "root": root, "image_size": 16, "folds": 1}
    space = {"fixed": ["batch_size", "drop_path"], "parameters": SHORT}

    def plan(**changes):
        kinds = {
            "recipe": "pretrained",
            "probes": 3,
            "training": training,
            "space": space,
            "data": data,
        }
        return tiny_plan(**{**kinds, **changes})

    return plan


def test_on_folds_features_are_computed_once_and_probes_differ_by_their_folds(
    mixed, tmp_path, worker
) -> None:
    known = config_in(tmp_path).data.model_dump(exclude_none=True)
    usual = mixed(trials=2, data={k: v for k, v in known.items() if k != "folds"})
    assert usual.folds == 5  # Fewer than 1,000 pictures of a folder.
    plan = mixed(trials=4, probes=3, data={**known, "folds": 3})
    run_task(ComputeFeatures(plan), worker)
    config = probe_of(plan)
    for pool in worker.folds(plan.data, plan.config.data).pools:
        assert next(feature_steps(config, pool.data)) == features_needed(config, pool.data)
    study = make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, None), worker)
    trials = trial_records(study)
    assert [t.method for t in trials] == ["probe"] * 3 + ["fine_tune"]
    whole = [t for t in trials[:3] if t.state == State.COMPLETE]  # Others fell behind on a fold.
    assert [len(t.fold_scores) for t in whole] == [3] * len(whole)
    assert [sorted(t.curve) for t in whole] == [[1, 2, 3]] * len(whole)
    assert trials[0] in whole
    assert not any(t.deterministic for t in trials)
    assert len(missing(plan, study, trials[:1])) == plan.config.confirm.seeds


def searched(plan, worker):
    study = make_or_resume(plan.place, plan.purpose())
    events, _ = run_task(RunTrials(plan, None), worker)
    return study, events


def configs(study) -> dict[int, dict]:
    """By the trial's place in the search."""
    return {t.index: t.config for t in trial_records(study) if t.state != State.REQUEUED}


@pytest.mark.slow
def test_probes_come_first_and_fine_tunings_begin_with_the_best(mixed, worker) -> None:
    plan = mixed()
    study, events = searched(plan, worker)
    records = trial_records(study)
    assert [r.method for r in records] == ["probe"] * 3 + ["fine_tune"] * 3
    assert [len(r.curve) for r in records[:3]] == [1, 1, 1]
    best = max(records[:3], key=lambda record: (record.accuracy, -record.number))
    assert {r.config["l2"] for r in records[3:]} == {best.config["l2"]}
    for record in records[3:]:
        assert record.config["epochs"] in (1, 3)
        assert record.state == State.PRUNED or len(record.curve) == record.config["epochs"]
    # The first of each kind is the recipe's.
    assert records[0].config["l2"] == plan.training.l2
    assert (records[3].config["lr"], records[3].config["epochs"]) == (plan.training.lr, 1)
    began = [event.job for event in events if isinstance(event, Began)]
    assert began[0] == "trial 0, a probe"
    assert began[5] == "trial 5, a fine-tuning"


@pytest.mark.slow
def test_a_stopped_search_goes_on_with_the_same_trials(mixed) -> None:
    whole, _ = searched(mixed(), new_worker())
    plan = mixed(study={**TINY["study"], "name": "stopped"})
    study, worker = make_or_resume(plan.place, plan.purpose()), new_worker()
    for event in RunTrials(plan, None).run(worker):
        if isinstance(event, Began) and event.trial == 4:
            worker._stop.set()
    assert len(configs(study)) < 6
    run_task(RunTrials(plan, None), new_worker())
    assert configs(study) == configs(whole)


@pytest.mark.slow
def test_features_are_computed_before_the_first_trial(mixed, worker) -> None:
    plan = mixed()
    events, _ = run_task(ComputeFeatures(plan), worker)
    assert (events[-1].done, events[-1].total) == (60, 60)
    assert run_task(ComputeFeatures(plan), worker)[0] == []  # They are all there.
    _, speeds = run_task(MeasureSpeed(plan), worker)
    assert speeds.features is None
    assert speeds.training > 0


@pytest.mark.slow
def test_probes_are_confirmed_once_since_they_are_deterministic(mixed, worker) -> None:
    plan = mixed(trials=4)
    study, _ = searched(plan, worker)
    probe, tuned = trial_records(study)[0], trial_records(study)[3]
    assert [(t.trial, t.seed) for t in missing(plan, study, [probe, tuned])] == [
        (0, 0), *((3, seed) for seed in range(plan.config.confirm.seeds))
    ]  # fmt: skip
    assert missing_further(plan, study, probe) == []
    task = missing(plan, study, [probe])[0]
    _, (_, accuracy) = run_task(task, worker)
    assert accuracy == probe.accuracy
    study.set_user_attr(task.attribute, accuracy)
    (found,) = candidates(plan, study, [probe])
    assert with_further(plan, study, found).confirmed.n == 1


def test_progress_is_told_by_quarters(capsys) -> None:
    lines = PlainLines()
    for done in (1, 20, 30, 31, 60, 100):
        lines.event(0, Progressed("features", done, 100, 12.0))
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "features: 30 of 100 images, 12 images/s"
    assert len(told) == 3
    assert in_words(Progressed("features", 1, 2)) == "features: 1 of 2 images"
