"""Tiny searches on tiny pictures: seconds, but everything real."""

import multiprocessing
import subprocess
from functools import partial
from pathlib import Path

import pytest

from records.metrics import Metrics, SearchFacts
from records.trial import TrialRecord
from search.config import SearchConfig
from search.finalize.confirm import Candidate
from search.finalize.finish import finish
from search.plan import Plan, settle
from search.workers.engines.patience import Patience
from search.workers.events import Done
from search.workers.worker import Slot, Worker
from studies.study import make_or_resume
from tests.search.processes import TINY, kill, start_search
from train_core.data.prepare import prepare


def config_in(folder: Path, **changes) -> SearchConfig:
    """A search config on `pictures/` in a folder; keywords replace whole sections."""
    data = {"dataset": str(folder / "pictures"), "root": str(folder / "data"), "image_size": 16}
    # One, as for more pictures; `tests.search.test_folds` has several.
    data["folds"] = 1
    values = {**TINY, "runs": str(folder / "runs"), "data": data, **changes}
    values["study"] = {"name": "tiny", **values["study"]}
    return SearchConfig.model_validate(values)


def plan_in(folder: Path, **changes) -> Plan:
    """The same, settled."""
    config = config_in(folder, **changes)
    return settle(config, prepare(config.data), "cpu")


@pytest.fixture
def tiny_config(image_folder, tmp_path):
    return partial(config_in, tmp_path)


@pytest.fixture
def tiny_plan(image_folder, tmp_path):
    return partial(plan_in, tmp_path)


class Flag:
    """A stop signal within one process."""

    def __init__(self) -> None:
        self.up = False

    def is_set(self) -> bool:
        return self.up

    def set(self) -> None:
        self.up = True


@pytest.fixture
def worker():
    """A worker in this process."""
    return new_worker()


def new_worker() -> Worker:
    return Worker(Slot(0, 1, trains=True), Flag())


def run_task(task, worker):
    """What a task yields, and what it returns."""
    steps, events = task.run(worker), []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value


class OnePool:
    """A pool whose only worker is this process."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.stop = worker, multiprocessing.get_context("spawn").Event()
        self.threads, self.device, self.patience = 1, "cpu", Patience()
        self.images = "auto"

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def grow(self, count: int) -> None:
        assert count <= 1

    def close(self) -> None:
        pass

    def run(self, tasks):
        for task in tasks:
            events, result = run_task(task, self.worker)
            yield from ((0, event) for event in events)
            yield 0, Done(result)


@pytest.fixture
def finish_here(worker, monkeypatch):
    """`finish` in this process, the final training too, which has a process of its own else."""
    monkeypatch.setattr("search.finalize.finish.WorkerPool", lambda *_, **__: OnePool(worker))

    def finish_here(plan: Plan, study) -> Metrics | None:
        return finish(plan, study, OnePool(worker), 1, lambda *_: None, lambda _: None)

    return finish_here


@pytest.fixture
def search(image_folder, tmp_path):
    """Starts searches, and ends those that are left."""
    running: list[subprocess.Popen] = []

    def start(*arguments: object, **sections) -> subprocess.Popen:
        running.append(start_search(tmp_path, *arguments, **sections))
        return running[-1]

    yield start
    for process in running:
        kill(process)


FACTS = SearchFacts(study="tiny", complete=4, pruned=2, candidates=2)


def winner(plan, **changes) -> Candidate:
    config = plan.trial_config({"lr": 16.0}, 0).model_dump() | changes
    record = TrialRecord(
        number=4, index=4, state="complete", accuracy=0.9, params={"lr": 16.0}, config=config,
        curve={1: 0.9}, history={}, reason=None, started=None, ended=None,
    )  # fmt: skip
    return Candidate(record, (0.8, 0.9))


def begun(plan):
    """A plan whose study exists, as it does by the time of the final training."""
    make_or_resume(plan.place, plan.purpose())
    return plan
