"""Workers as actors: what the pool can do with processes, it can do with them."""

import pytest

pytest.importorskip("ray", reason="needs the package 'ray' (pip install 'convsearch[ray]')")

from search.config import WorkersConfig
from search.workers.engines.actors import RayEngine
from search.workers.events import Done
from search.workers.pool import WorkerDied, WorkerPool
from tests.search.chores import Answer, Die, Patiently

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::Warning")]  # Of Ray itself.


@pytest.fixture(scope="module")
def pool():
    """Three workers, with room for two."""
    engine = RayEngine(WorkersConfig(engine="ray", count=2, threads=1), None)
    with WorkerPool(1, trains=False, engine=engine) as pool:
        pool.grow(3)
        yield pool


def told(pool: WorkerPool, tasks: list) -> list:
    return [event for _, event in pool.run(tasks) if event is not None]


def test_tasks_are_done_by_those_that_have_a_place(pool) -> None:
    answers = told(pool, [Answer("one"), Answer("two"), Answer("three")])
    assert sorted(done.result for done in answers) == ["one", "three", "two"]


def test_a_task_that_kills_every_actor_is_given_up(pool) -> None:
    with pytest.raises(WorkerDied, match="for the 4th time without getting further"):
        told(pool, [Die()])
    for member in pool._members:
        member.task, member.losses = None, 0
    assert pool.call(Answer("again")) == "again"


def test_actors_hear_that_they_should_come_to_an_end(pool) -> None:
    events = []
    for _, event in pool.run([Patiently()]):
        pool.stop.set()
        events += [event] if event is not None else []
    assert events[-1] == Done("stopped")
