"""Studies that may not be changed: a file, a folder, or both; and those who read them."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from records.outcome import State
from studies.study import Place, find
from tests.conftest import _BOUND
from tests.studies.conftest import begun
from tests.studies.workers import broker_of, ended

READ = """
import sys
from pathlib import Path
from studies.study import Place, find
from studies.attributes import trial_records
place = Place("test", Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
study = find(place, to_write=False)
print([str(record.state) for record in trial_records(study)], study.user_attrs["settings"])
"""
SAID = "['complete', 'running'] {'trials': 5}\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs setpriv"),
]


def bound(*command: object) -> list[str]:
    """A command for which permissions count, even for root."""
    return [
        *(_BOUND if not os.getuid() else []),
        sys.executable,
        "-W",
        "error",
        *map(str, command),
    ]


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        bound(*command), capture_output=True, text=True, timeout=100, check=False
    )


def two_trials(folder: Path) -> Place:
    place = Place("test", folder)
    study = begun(place)
    broker = broker_of(study, place, 9)
    first, _ = broker.claim(2).trials
    broker.settle(first, ended(State.COMPLETE, 0.5))
    return place


@pytest.fixture(params=["file", "folder", "file and folder"])
def locked(request, tmp_path):
    """A study that may only be read."""
    folder = tmp_path / "runs" / "test"
    place = two_trials(folder)
    if "file" in request.param:
        (folder / "study.db").chmod(0o444)
    if "folder" in request.param:
        folder.chmod(0o555)
    yield place
    folder.chmod(0o755)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_study_that_may_not_be_changed_is_read_and_left_as_it_is(locked) -> None:
    before = content(locked.folder)
    assert "study.db-wal" not in before
    for storage in ([], [locked.url]):
        done = run("-c", READ, locked.folder, *storage)
        assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    assert content(locked.folder) == before


def test_what_a_killed_search_left_in_its_log_is_read_too(tmp_path) -> None:
    live = tmp_path / "live"
    place = two_trials(live)
    study = find(place)  # Keeps the write-ahead log open.
    study.set_user_attr("settings", {"trials": 6})
    folder = tmp_path / "copy"
    shutil.copytree(live, folder)
    assert (folder / "study.db-wal").stat().st_size
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    done = run("-c", READ, folder)
    folder.chmod(0o755)
    assert done.stdout == SAID.replace("5", "6"), done.stderr


def test_a_running_search_is_read_without_the_right_to_write(tmp_path) -> None:
    place = two_trials(tmp_path / "test")
    study = find(place)
    place.folder.chmod(0o555)
    for name in ("study.db", "study.db-wal", "study.db-shm"):
        (place.folder / name).chmod(0o444)
    study.set_user_attr("settings", {"trials": 7})
    done = run("-c", READ, place.folder)
    place.folder.chmod(0o755)
    assert done.stdout == SAID.replace("5", "7"), done.stderr


def test_the_dashboard_shows_it(locked) -> None:
    before = content(locked.folder)
    words = ["-m", "studies.dashboard", "--port", "0", "--storage", locked.url]
    command = bound(*words, "--artifacts", locked.folder / "artifacts")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline().split("/ (")[0].rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/studies")
        said = connection.getresponse().read()
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert b'"test"' in said
    assert content(locked.folder) == before


def test_nothing_is_looked_through_or_switched_when_a_study_is_only_opened(tmp_path) -> None:
    """Whoever made the file decides about its mode."""
    place = two_trials(tmp_path / "test")
    path = place.folder / "study.db"
    with_header = bytearray(path.read_bytes())
    assert with_header[18:20] == b"\x02\x02"  # Write-ahead mode.
    with_header[18:20] = b"\x01\x01"
    path.write_bytes(with_header)
    for to_write in (False, True):
        assert len(find(place, to_write=to_write).get_trials()) == 2
    assert path.read_bytes()[18:20] == b"\x01\x01"
    assert begun(place).get_trials()[0].state.is_finished()
    assert path.read_bytes()[18:20] == b"\x02\x02"
