"""The dashboard beside a search, as a real process, asked over HTTP."""

import http.client
import json
import socket
import subprocess
import sys

import pytest

from studies.dashboard.__main__ import FIRST_PORT, bind
from studies.dashboard.artifacts import artifacts_folder, attach
from studies.study import Place
from tests.studies.conftest import begun
from tests.studies.workers import broker_of, run_one

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path) -> Place:
    place = Place("test", tmp_path)
    broker = broker_of(begun(place), place, 9)
    for claim in broker.claim(3).trials:
        run_one(broker, claim)
    return place


@pytest.fixture
def port(place):
    command = [sys.executable, "-W", "error", "-m", "studies.dashboard", "--storage", "-"]
    process = subprocess.Popen(
        [*command, "--artifacts", str(artifacts_folder(place.folder))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(place.url + "\n")
    process.stdin.flush()
    url = process.stdout.readline()
    yield int(url.rsplit(":", 1)[1].strip("/\n"))
    # It ends with the one that started it, which closes its stdin by dying.
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def ask(port: int, path: str, method: str = "GET", host: str | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def test_shows_the_study_and_changes_nothing(port, place) -> None:
    status, content = ask(port, "/api/studies")
    assert status == 200
    (summary,) = json.loads(content)["study_summaries"]
    assert summary["study_name"] == "test"
    path = f"/api/studies/{summary['study_id']}"
    assert len(json.loads(ask(port, f"{path}?after=0")[1])["trials"]) == 3
    assert ask(port, "/dashboard")[0] == 200
    assert ask(port, "/static/bundle.js")[0] == 200
    for method in ("DELETE", "POST", "PUT", "PATCH"):
        assert ask(port, path, method)[0] == 405
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example"):
        assert ask(port, "/api/studies", host=host)[0] == 403
    assert ask(port, "/api/studies", host=f"localhost:{port}")[0] == 200
    assert len(begun(place).get_trials()) == 3


def test_offers_the_files_that_are_attached(port, place, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    attach(begun(place), place, {"config.toml": tmp_path / "notes.txt"})
    (study,) = json.loads(ask(port, "/api/studies")[1])["study_summaries"]
    number = study["study_id"]
    (artifact,) = json.loads(ask(port, f"/api/studies/{number}?after=0")[1])["artifacts"]
    assert artifact["filename"] == "config.toml"
    path = f"/artifacts/{number}/{artifact['artifact_id']}"
    assert ask(port, path) == (200, b"hello\n")
    assert ask(port, path, "DELETE")[0] == 405
    assert ask(port, path, host="evil.example")[0] == 403


def test_takes_the_next_port_and_only_this_machine(port) -> None:
    assert port >= 8080
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex((socket.gethostbyname(socket.gethostname()), port)) != 0 or (
            socket.gethostbyname(socket.gethostname()).startswith("127.")
        )


def test_a_taken_port_is_passed_over(tmp_path) -> None:
    first = bind(lambda environ, start: [])
    second = bind(lambda environ, start: [])
    try:
        assert FIRST_PORT <= first.server_port < second.server_port
    finally:
        first.server_close()
        second.server_close()
