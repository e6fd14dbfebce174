"""The dashboard on its own as a real process, before, when and after there is a study."""

import json
import signal
import subprocess
import sys

import pytest

from studies.dashboard.artifacts import artifacts_folder
from studies.study import Place
from tests.studies.conftest import begun
from tests.studies.test_dashboard import ask
from tests.studies.workers import broker_of, run_one

pytestmark = pytest.mark.slow


def command(storage: str, folder, *more: str) -> list[str]:
    return [
        sys.executable, "-W", "error", "-m", "studies.dashboard", "--port", "0",
        "--storage", storage, "--artifacts", str(artifacts_folder(folder)), *more,
    ]  # fmt: skip


@pytest.fixture
def serve():
    """Starts the service and says its port; it ends with 0 when it is told to."""
    started: list[subprocess.Popen[str]] = []

    def begin(place: Place, *more: str) -> int:
        words = command(place.url, place.folder, *more)
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        line = started[-1].stdout.readline()
        assert "secret" not in line
        return int(line.split("/ (")[0].rsplit(":", 1)[1])

    yield begin
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()


def one_trial(place: Place) -> None:
    broker = broker_of(begun(place), place, 9)
    for claim in broker.claim(1).trials:
        run_one(broker, claim)


def test_shows_what_is_there_and_changes_nothing(serve, place) -> None:
    one_trial(place)
    port = serve(place, "--host", "0.0.0.0")
    status, content = ask(port, "/api/studies")
    assert status == 200
    names = [one["study_name"] for one in json.loads(content)["study_summaries"]]
    assert place.name in names
    assert ask(port, "/dashboard")[0] == 200
    assert ask(port, "/api/studies", "DELETE")[0] == 405
    # Also when others can reach it, it answers to the names of this machine only.
    assert ask(port, "/api/studies", host=f"192.0.2.1:{port}")[0] == 403


def test_waits_for_a_study_and_makes_nothing(serve, tmp_path) -> None:
    place = Place("test", tmp_path / "test")
    port = serve(place)
    status, content = ask(port, "/")
    assert (status, b"there is no study" in content) == (503, True)
    assert list(tmp_path.iterdir()) == []
    # A file that a search has just begun, without a study in it.
    place.folder.mkdir()
    (place.folder / "study.db").touch()
    assert ask(port, "/api/studies")[0] == 503
    assert (place.folder / "study.db").stat().st_size == 0
    one_trial(place)
    assert b'"test"' in ask(port, "/api/studies")[1]


def test_a_database_that_does_not_answer_is_named_without_its_password(serve, tmp_path) -> None:
    pytest.importorskip("psycopg")
    port = serve(Place("test", tmp_path, "postgresql+psycopg://me:secret@127.0.0.1:1/studies"))
    for _ in range(2):
        status, content = ask(port, "/")
        assert (status, b"can be opened" in content, b"secret" in content) == (503, True, False)


@pytest.mark.parametrize(
    ("storage", "more", "said"),
    [
        ("nonsense", [], "must be the URL of a database"),
        ("sqlite://", [], "in memory"),
        ("sqlite:///study.db", ["--host", "203.0.113.9"], "203.0.113.9"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, storage, more, said) -> None:
    done = subprocess.run(
        command(storage, tmp_path, *more), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
