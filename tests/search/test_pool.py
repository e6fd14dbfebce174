"""The session's worker processes, really started and really killed."""

import os
import signal
from dataclasses import dataclass

import pytest

from search.events import WorkerLost
from search.pool import WorkerDied, WorkerPool


@dataclass(frozen=True)
class Answer:
    """A task that returns what it was given."""

    what: str

    def run(self, worker):
        yield from ()
        return self.what


@dataclass(frozen=True)
class Die:
    """A task that no process survives."""

    def run(self, worker):
        yield from ()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def pool():
    with WorkerPool(1, trains=False) as pool:
        pool.grow(1)
        yield pool


def test_a_process_that_dies_before_it_has_a_task_is_replaced(pool) -> None:
    pool._members[0].process.kill()
    pool._members[0].process.join()
    told = [event for _, event in pool.run([Answer("here")]) if event is not None]
    assert isinstance(told[0], WorkerLost)
    assert told[-1].result == "here"


def test_a_task_that_kills_every_process_is_given_up(pool) -> None:
    with pytest.raises(WorkerDied, match="for the 4th time without getting further"):
        list(pool.run([Die()]))
    # Whoever goes on all the same finds no process, and gets another one.
    pool._members[0].task, pool._members[0].losses = None, 0
    assert pool.call(Answer("again")) == "again"
