"""A database server that is killed and started again while a study is worked on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from records.outcome import State
from studies.attributes import trial_records
from studies.broker import Claims
from studies.broker.counting import finished
from studies.broker.lasting import LastingBroker
from studies.connection.outage import connection_broke, not_waiting, told, wait_out
from studies.study import Place, find
from tests.studies.conftest import begun
from tests.studies.servers import Server, own_server
from tests.studies.workers import broker_of, run_one

ROOT = Path(__file__).parents[2]

# PyMySQL leaves the sockets of connections open that broke.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request, tmp_path_factory) -> Server:
    """A server that these tests may kill."""
    yield from own_server(request.param, tmp_path_factory.mktemp("server"))


@pytest.fixture
def lines():
    said: list[str] = []
    with told(said.append):
        yield said


def away() -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)


def test_what_needs_a_database_is_done_when_it_answers(lines, monkeypatch) -> None:
    monkeypatch.setattr("studies.connection.outage._AGAIN", 0.0)
    answers = [away(), away(), "done"]

    def attempt() -> str:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    assert wait_out("db", attempt, connection_broke) == "done"
    assert lines == [
        "'db' does not answer (gone): waiting for it; nothing that ended is lost",
        "'db' answers again, after 0 s",
    ]
    answers = [ValueError("another"), "done"]
    with pytest.raises(ValueError, match="another"):
        wait_out("db", attempt, connection_broke)
    answers = [away(), "done"]
    with pytest.raises(OperationalError), not_waiting():
        wait_out("db", attempt, connection_broke)
    answers = [away(), "done"]
    assert wait_out("db", attempt, connection_broke, lambda: "done before") == "done before"


@pytest.mark.slow
def test_a_study_goes_on_with_its_server(server, lines, tmp_path) -> None:
    """Each call meets the outage: one in a claim, one in a report, one when a trial ends."""
    place = Place(tmp_path.name, tmp_path / "runs", server.url)
    study = begun(place)
    broker = LastingBroker(broker_of(study, place, 3))
    (claim,) = broker.claim(1).trials
    server.kill()
    threading.Timer(1.5, server.start).start()
    run_one(broker, claim)
    assert len(lines) == 2
    assert "does not answer" in lines[0]
    assert "answers again" in lines[1]
    server.restart()
    while claims := broker.claim(1).trials:
        run_one(broker, claims[0])
    states = [trial.state for trial in find(place).get_trials()]
    assert states == [TrialState.COMPLETE] * 3


def work(place: Place, total: int) -> subprocess.Popen:
    """Two workers of a host."""
    words = ["-m", "tests.studies.workers", place.name, str(place.folder), place.url, str(total)]
    env = {**os.environ, "COUNT": "2", "PAUSE": "0.05"}
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env, start_new_session=True)


def ended(study) -> int:
    return finished(study.get_trials(deepcopy=False))


@pytest.mark.slow
def test_workers_of_two_hosts_end_with_exactly_as_many_trials(server, lines, tmp_path) -> None:
    """The server is killed in the middle, and all workers of one host as well."""
    total = 8
    here, there = (Place(tmp_path.name, tmp_path / name, server.url) for name in "ab")
    study = begun(here)
    with work(here, total) as first, work(there, total) as second:
        while ended(study) < 2:
            time.sleep(0.05)
        server.kill()
        os.killpg(second.pid, signal.SIGKILL)
        time.sleep(1)
        server.start()
        assert first.wait(timeout=100) == 0
    assert ended(study) == total
    indices = [t.index for t in trial_records(study) if t.state == State.COMPLETE]
    assert sorted(indices) == list(range(total))


@pytest.mark.slow
def test_a_lock_that_went_with_its_server_is_noticed(server, lines, tmp_path) -> None:
    """Whoever counted under it counts again, so that nobody asks for one trial too many."""
    place = Place(tmp_path.name, tmp_path / "runs", server.url)
    study = begun(place)
    ours, others = (broker_of(study, place, 1) for _ in range(2))
    asked = ours._ask

    def interrupted():
        """The server dies once this one has counted; meanwhile another one asks."""
        ours._ask = asked
        server.restart()
        assert len(others.claim(1).trials) == 1
        return ours._ask()

    ours._ask = interrupted
    assert LastingBroker(ours).claim(1) == Claims(wait=True)
    trials = find(place).get_trials()
    assert sum(trial.state == TrialState.RUNNING for trial in trials) == 1
    assert ours._trials == {}
