import gc
import weakref

import pytest
import torch
from optuna.trial import TrialState

from records.outcome import Cause, Outcome, State
from search.display.summary import count
from search.workers.events import Began, Ended, EpochEnded
from search.workers.training_files import checkpoint_of_trial, sweep_trials
from search.workers.trial import RunTrials, open_broker
from studies.algorithms.promotion import is_paused
from studies.attributes import OWNER, trial_records
from studies.broker import Answer, Claim, Claims, TooManyFailures
from studies.broker.owner import Owner
from studies.study import make_or_resume
from tests.search.conftest import run_task
from tests.search.processes import TINY
from train_core.config import TrainConfig
from train_core.engine.memory import MemoryUse
from train_core.fit import fit
from train_core.networks.base import Classifier


def search(plan, worker):
    study = make_or_resume(plan.place, plan.purpose())
    events, _ = run_task(RunTrials(plan, None), worker)
    return study, events


def test_runs_exactly_the_trials_and_tells_all(tiny_plan, worker) -> None:
    plan = tiny_plan()
    study, events = search(plan, worker)
    records = trial_records(study)
    assert len(records) == 6
    assert {record.state for record in records} <= {"complete", "pruned"}
    assert sum(isinstance(event, Began) for event in events) == 6
    assert sum(isinstance(event, Ended) for event in events) == 6
    assert records[0].params == plan.purpose().first
    for record in records:
        assert record.config["epochs"] == 3
        epochs = [
            e for e in events if isinstance(e, EpochEnded) and e.job == f"trial {record.number}"
        ]
        assert [e.accuracy for e in epochs] == list(record.curve.values())
        assert len(record.history["train_loss"]) == len(record.curve)
        assert record.accuracy == list(record.curve.values())[-1]


def results(study) -> list:
    return [(r.params, r.state, r.curve, r.history["train_loss"]) for r in trial_records(study)]


def test_the_same_seed_gives_the_same_trials_bit_for_bit(tiny_plan, tmp_path, worker) -> None:
    one, _ = search(tiny_plan(), worker)
    other, _ = search(tiny_plan(runs=str(tmp_path / "others")), worker)
    assert results(one) == results(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pruner", "stops"), [("median", {"trial 2": 1}), ("promote", {"trial 2": 1, "trial 5": 1})]
)
def test_a_stopped_search_goes_on_bit_for_bit(tiny_plan, tmp_path, worker, pruner, stops) -> None:
    about = {"study": {"pruner": pruner, "startup_trials": 2, "reduction": 2}}
    undisturbed, _ = search(tiny_plan(**about), worker)
    plan = tiny_plan(runs=str(tmp_path / "others"), **about)
    study = make_or_resume(plan.place, plan.purpose())
    for job, last in stops.items():
        for event in RunTrials(plan, None).run(worker):
            if isinstance(event, EpochEnded) and (event.job, event.epoch) == (job, last):
                worker._stop.set()  # In the middle of a trial.
        worker._stop.up = False
    run_task(RunTrials(plan, None), worker)
    again = {r.index: r for r in trial_records(study) if r.done}
    expected = {r.index: r for r in trial_records(undisturbed) if r.done}
    assert len(again) == len(expected) == 6
    for place, theirs in expected.items():
        mine = again[place]
        assert (mine.params, mine.state, mine.curve) == (theirs.params, theirs.state, theirs.curve)


@pytest.mark.slow
def test_a_paused_trial_goes_on_from_its_checkpoint_bit_for_bit(tiny_plan, worker) -> None:
    plan = tiny_plan(study={"pruner": "promote", "reduction": 2, "sampler": "random", "seed": 1})
    study, _ = search(plan, worker)
    trials = trial_records(study)
    done = {r.index: r for r in trials if r.done}
    assert sorted(done) == list(range(6))
    before = [r for r in trials if r.state == State.REQUEUED]
    assert before
    for paused in before:
        later = done[paused.index]
        # The same seconds: these epochs were not trained again.
        for field in ("seconds", "train_loss"):
            assert later.history[field][: len(paused.curve)] == paused.history[field]
        assert later.spent == paused.seconds
    resumed = max((r for r in done.values() if r.spent), key=lambda r: len(r.curve))
    images = worker.engines(plan.data, plan.config.data).data
    straight = fit(TrainConfig.model_validate(resumed.config), images)
    assert [next(straight).score for _ in resumed.curve] == list(resumed.curve.values())

    kept = {r.index for r in done.values() if is_paused(r)}
    assert kept
    sweep_trials(plan, trials, paused=False)
    there = {place for place in done if checkpoint_of_trial(plan, place).path.exists()}
    assert there == kept
    sweep_trials(plan, trials)
    assert not list(plan.folder.rglob("*.safetensors"))

    counts = count(trials, 6, plan.config.study)
    assert (counts.ended, counts.paused) == (True, len(kept))
    assert f"({len(kept)} paused)" in counts.by_state()
    runs = [(r.number, paused) for paused in before for r in trials if r.index == paused.index]
    later, paused = min(((n, p) for n, p in runs if n > p.number), key=lambda pair: pair[0])
    stopped = trials[:later]
    stopped[paused.number] = paused.model_copy(update={"state": State.PRUNED})
    pending = count(stopped, sum(r.done for r in stopped), plan.config.study)
    assert pending.done == pending.total
    assert not pending.ended  # Killed just then, the search would go on with it.


def test_a_trial_over_its_time_is_pruned_with_a_reason(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=2, study={"trial_timeout": 1e-6})
    study, events = search(plan, worker)
    reason = "over the trial_timeout of 1e-06 s after epoch 1"
    assert [(r.state, r.cause, r.reason, len(r.curve)) for r in trial_records(study)] == [
        ("pruned", Cause.TIMED_OUT, reason, 1)
    ] * 2
    assert [event.outcome.reason for event in events if isinstance(event, Ended)] == [reason] * 2


def test_a_trial_that_kills_its_workers_is_given_up_and_said_to_be(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=1)
    study = make_or_resume(plan.place, plan.purpose())
    gone = Owner.this_process().model_copy(update={"ticks": 1})
    for _ in range(3):
        (claim,) = open_broker(plan).claim(1).trials
        trial = study.get_trials()[claim.number]
        study._storage.set_trial_user_attr(trial._trial_id, OWNER, gone.model_dump())
    events, _ = run_task(RunTrials(plan, None), worker)
    first, *_, last = [event for event in events if isinstance(event, Ended)]
    reason = "its worker died 3 times, at last in epoch 1"
    died = Outcome(State.FAILED, cause=Cause.WORKER_DIED, reason=reason)
    assert first == Ended("trial 2", died)
    assert (last.job, last.outcome.state) == ("trial 3", State.COMPLETE)
    assert [r.state for r in trial_records(study)] == [
        "requeued",
        "requeued",
        "failed",
        "complete",
    ]


@pytest.mark.slow
def test_behind_the_median_is_pruned_with_a_reason(tiny_plan, worker) -> None:
    plan = tiny_plan(
        trials=8,
        study={"startup_trials": 1, "sampler": "random"},
        training={**TINY["training"], "epochs": 6, "lr": 8.0},
        space={
            "fixed": ["batch_size", "depth", "dropout", "augment"],
            "parameters": {"lr": {"type": "float", "low": 1e-6, "high": 10.0, "log": True}},
        },
    )
    study, _ = search(plan, worker)
    pruned = [record for record in trial_records(study) if record.state == "pruned"]
    assert pruned
    for record in pruned:
        assert record.cause == Cause.RULE
        assert record.reason.startswith("median rule after epoch")
        assert len(record.curve) < 6


def test_divergence_is_pruned_with_a_reason_and_the_search_goes_on(tiny_plan, worker) -> None:
    plan = tiny_plan(
        trials=3,
        space={
            "fixed": ["batch_size", "depth", "dropout", "augment"],
            "parameters": {"lr": {"type": "choice", "choices": [2.0, 1e38]}},
        },
        study={"sampler": "random", "pruner": "none", "seed": 1},
        training={**TINY["training"], "epochs": 3, "lr": 1e38},
    )
    study, _ = search(plan, worker)
    records = trial_records(study)
    assert records[0].state == "pruned"
    assert records[0].cause == Cause.DIVERGED
    assert records[0].reason == "diverged in epoch 1: the loss is not finite"
    assert len(records) == 3
    assert study.get_trials()[0].value is None


def test_a_fault_is_one_failed_trial_with_its_traceback(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=2)
    study = make_or_resume(plan.place, plan.purpose())
    engines = worker.engines(plan.data, plan.config.data)
    whole = engines.engine
    broken = iter([True, False, False])

    def engine(config):
        if next(broken, False):
            raise OSError("the disk is on fire")
        return whole(config)

    engines.engine = engine
    events, _ = run_task(RunTrials(plan, None), worker)
    records = trial_records(study)
    assert [record.state for record in records] == ["failed", "complete", "complete"]
    assert records[0].reason == "OSError: the disk is on fire"
    failed = next(event for event in events if isinstance(event, Ended))
    assert "Traceback" in failed.outcome.details


@pytest.mark.parametrize(
    ("times", "states"),
    [
        (1, ["requeued", "complete", "complete"]),
        (3, ["requeued", "requeued", "pruned", "complete"]),
    ],
)
def test_a_trial_that_neighbours_leave_no_memory_is_run_again_but_not_for_ever(
    tiny_plan, worker, monkeypatch, times, states
) -> None:
    gib = 2**30
    beside_others = MemoryUse(total=80 * gib, free=gib, own=9 * gib, peak=9 * gib)
    monkeypatch.setattr("train_core.fit.memory_use", lambda device: beside_others)
    monkeypatch.setattr("search.workers.trial._ASIDE", 0.0)
    plan = tiny_plan(trials=2, study={"startup_trials": 2, "pruner": "none"})
    study = make_or_resume(plan.place, plan.purpose())
    engines = worker.engines(plan.data, plan.config.data)
    whole, full = engines.engine, iter(range(times))

    def engine(config):
        if next(full, None) is not None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(config)

    engines.engine = engine
    events, _ = run_task(RunTrials(plan, None), worker)
    records = trial_records(study)
    assert [record.state for record in records] == states
    assert len({str(record.params) for record in records[: times + 1]}) == (1 if times < 3 else 2)
    reasons = [e.outcome.reason for e in events if isinstance(e, Ended)][:times]
    assert all("others on the device hold" in reason for reason in reasons)
    assert [r.cause for r in records if r.state == "pruned"] == ["out of memory"] * (times > 2)


def test_a_worker_that_waits_stops_when_it_is_told_to(worker) -> None:
    worker._stop.set()
    worker.pause(3_600.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a CUDA device that is not there")
def test_a_lost_device_is_no_fault_of_the_trial(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=2)
    study = make_or_resume(plan.place, plan.purpose())

    def engine(config):
        raise RuntimeError("CUDA error: device-side assert triggered")

    worker.engines(plan.data, plan.config.data).engine = engine
    worker.device = torch.device("cuda", 1)
    with pytest.raises(RuntimeError, match="device-side assert"):
        run_task(RunTrials(plan, None), worker)
    assert [record.state for record in trial_records(study)] == ["running"]


def test_faults_in_a_row_stop_the_search_with_the_first_cause(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=50)
    make_or_resume(plan.place, plan.purpose())
    causes = (OSError(f"fault {number}") for number in range(50))

    def engine(config):
        raise next(causes)

    worker.engines(plan.data, plan.config.data).engine = engine
    with pytest.raises(TooManyFailures, match=r"\(trial 0\) with: OSError: fault 0"):
        run_task(RunTrials(plan, None), worker)


class ListBroker:
    """A broker without a study: hands out what it was given, and loses the first trial."""

    def __init__(self, plan) -> None:
        point = {"lr": 8.0, "depth": 1, "dropout": 0.0, "augment": 0.5}
        configs = [plan.trial_config(point, index).model_dump() for index in (0, 1)]
        self.left = [Claim(n, n, point, config) for n, config in enumerate(configs)]
        self.told, self.settled = [], []

    def claim(self, n: int) -> Claims:
        assert n == 1
        return Claims(tuple(self.left[:1])) if self.left else Claims()

    def report(self, claim: Claim, record) -> Answer:
        self.told.append((claim.number, record.epoch))
        return Answer.LOST if (claim.number, record.epoch) == (0, 2) else Answer.GO

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        self.left.remove(claim)
        self.settled.append((claim.number, outcome.state))
        return claim.number != 0


def test_a_lost_trial_is_dropped_with_its_checkpoint_left_and_the_worker_goes_on(
    tiny_plan, worker
) -> None:
    """Any broker will do: a worker knows no study."""
    plan = tiny_plan(workers={"threads": 1, "checkpoint_every": 0.0})
    broker = ListBroker(plan)
    events, _ = run_task(RunTrials(plan, None, lambda _: broker), worker)
    assert broker.told == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    assert broker.settled == [(0, State.REQUEUED), (1, State.COMPLETE)]
    lost, complete = (event for event in events if isinstance(event, Ended))
    assert (lost.job, lost.outcome.state) == ("trial 0", "requeued")
    assert "someone else" in lost.outcome.reason
    assert (complete.job, complete.outcome.state) == ("trial 1", "complete")
    assert checkpoint_of_trial(plan, 0).path.exists()
    assert not checkpoint_of_trial(plan, 1).path.exists()


def test_no_trial_starts_after_the_deadline(tiny_plan, worker) -> None:
    plan = tiny_plan()
    study = make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, deadline=1.0), worker)
    assert [trial.state for trial in study.get_trials()] == [TrialState.WAITING]


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "none"])
def test_no_network_outlives_its_trial(tiny_plan, worker, monkeypatch, pruner) -> None:
    """Whatever ends a trial, nothing may keep its network: a GPU would run out of memory."""
    alive = weakref.WeakSet()
    made = Classifier.__init__

    def counted(self, *args, **kwargs):
        made(self, *args, **kwargs)
        alive.add(self)

    monkeypatch.setattr(Classifier, "__init__", counted, raising=False)
    sizes = list(range(4, 40, 4))
    plan = tiny_plan(
        trials=12,
        space={
            "fixed": ["batch_size", "depth", "dropout", "augment"],
            "parameters": {
                "lr": {"type": "float", "low": 1e-7, "high": 10.0, "log": True},
                "width": {"type": "choice", "choices": sizes},
            },
        },
        study={"startup_trials": 1, "sampler": "random", "pruner": pruner},
    )
    engines = worker.engines(plan.data, plan.config.data)
    gc.collect()
    gc.disable()
    try:
        study, _ = search(plan, worker)
        shapes = {record.params["width"] for record in trial_records(study)}
        assert len(shapes) > 5
        # Two networks (current and averaged) for each of the shapes that are kept on purpose.
        assert len(engines.shapes) < len(shapes)
        assert len(alive) <= 2 * len(engines.shapes)
    finally:
        gc.enable()


def test_the_search_needs_no_test_images(tiny_plan, worker) -> None:
    from pathlib import Path

    plan = tiny_plan()
    for part in ("images", "labels"):
        (Path(plan.data.folder) / f"test.{part}.npy").unlink()
    study, _ = search(plan, worker)
    assert len(trial_records(study)) == 6
