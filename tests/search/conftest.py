"""Tiny searches on tiny pictures: seconds, but everything real."""

import pytest

from search.config import SearchConfig
from search.plan import Plan, settle
from search.worker import Slot, Worker
from train_core.data.prepare import prepare

TINY = {
    "trials": 6,
    "recipe": "cpu",
    "training": {
        "width": 4,
        "epochs": 3,
        "batch_size": 16,
        "optimizer": "sgd",
        "lr": 8.0,
    },
    "space": {
        "fixed": ["batch_size"],
        "parameters": {"depth": {"type": "int", "low": 1, "high": 2}},
    },
    "study": {"startup_trials": 2},
    "confirm": {"top": 2, "seeds": 2},
    "workers": {"threads": 1},
}


@pytest.fixture
def tiny_config(image_folder, tmp_path):
    """A search config on the picture folder; keywords replace whole sections."""

    def make(**changes) -> SearchConfig:
        data = {"dataset": str(image_folder), "root": str(tmp_path / "data"), "image_size": 16}
        values = {**TINY, "runs": str(tmp_path / "runs"), "data": data, **changes}
        values["study"] = {"name": "tiny", **values["study"]}
        return SearchConfig.model_validate(values)

    return make


@pytest.fixture
def tiny_plan(tiny_config):
    def make(**changes) -> Plan:
        config = tiny_config(**changes)
        return settle(config, prepare(config.data), "cpu")

    return make


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
    return Worker(Slot(0, 1, trains=True), Flag())


def run_task(task, worker):
    """What a task yields, and what it returns."""
    steps, events = task.run(worker), []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value
