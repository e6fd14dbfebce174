"""The session's worker processes, really started and really killed."""

import pytest
import torch

from search.workers.events import Done, Warned, WorkerLost
from search.workers.pool import WorkerDied, WorkerPool
from tests.search.chores import Answer, Die, LoseTheDevice

pytestmark = pytest.mark.slow


@pytest.fixture
def pool():
    with WorkerPool(1, trains=False) as pool:
        pool.grow(1)
        yield pool


def test_a_process_that_dies_before_it_has_a_task_is_replaced(pool) -> None:
    pool._members[0].handle.kill()
    pool._members[0].handle.join()
    told = [event for _, event in pool.run([Answer("here")]) if event is not None]
    assert isinstance(told[0], WorkerLost)
    assert told[-1].result == "here"


def test_a_task_that_kills_every_process_is_given_up(pool) -> None:
    with pytest.raises(WorkerDied, match="for the 4th time without getting further"):
        list(pool.run([Die()]))
    # Whoever goes on all the same finds no process, and gets another one.
    pool._members[0].task, pool._members[0].losses = None, 0
    assert pool.call(Answer("again")) == "again"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a CUDA device that is not there")
def test_a_process_that_loses_its_device_is_replaced(pool, tmp_path) -> None:
    told = [e for _, e in pool.run([LoseTheDevice(tmp_path / "before")]) if e is not None]
    warning = "cuda no longer answers, after: CUDA error: device-side assert triggered"
    assert told[0] == Warned(warning)
    assert isinstance(told[1], WorkerLost)
    assert told[2] == Done("done")
