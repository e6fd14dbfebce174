import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from studies.storage import make_storage, open_storage, refuse_unusable
from studies.study import Place
from tests.studies.conftest import begun


def database(folder):
    return folder / "study.db"


def other_text(folder) -> None:
    database(folder).write_text("my diary\n" * 100)


def other_tables(folder) -> None:
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()


def cut_off(folder) -> None:
    study = begun(Place("test", folder))
    study.tell(study.ask(), 0.5)
    del study
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = database(folder).read_bytes()
    database(folder).write_bytes(content[: len(content) // 2])


def overwritten(folder) -> None:
    cut_off(folder)
    content = bytearray(database(folder).read_bytes())
    content[4096:12288] = b"\xff" * 8192
    database(folder).write_bytes(content)


@pytest.mark.parametrize("damage", [other_text, other_tables, cut_off, overwritten])
def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path, damage) -> None:
    damage(tmp_path)
    before = database(tmp_path).read_bytes()
    with pytest.raises(ValueError, match="must be a SQLite file of Optuna or a new one, but"):
        make_storage(Place("test", tmp_path).url)
    assert database(tmp_path).read_bytes() == before


def test_an_empty_file_is_a_new_one(tmp_path) -> None:
    database(tmp_path).touch()
    assert len(begun(Place("test", tmp_path)).get_trials()) == 1


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(3)
connection.execute("COMMIT")
"""


@pytest.mark.slow
def test_a_locked_database_is_waited_for(tmp_path) -> None:
    study = begun(Place("test", tmp_path))
    trial = study.ask()
    command = [sys.executable, "-c", HOLD, str(database(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        study.tell(trial, 0.5)
        assert time.monotonic() - started > 1.0
    assert study.best_value == 0.5


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "storage must be the URL of a database"),
        ("nosuch://me:secret@host/x", "nosuch://me:\\*\\*\\*@host/x': Can't load plugin"),
        ("oracle+oracledb://host/x", "No module named 'oracledb'"),
        ("sqlite:///:memory:", "several processes can open"),
    ],
)
def test_storages_that_cannot_work_are_refused_before_anything_is_made(url, message) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_unusable(url)


def test_a_database_that_does_not_answer_is_one_sentence_without_its_password(tmp_path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://me:secret@127.0.0.1:9/x"
    with pytest.raises(ValueError, match="can be opened") as error:
        begun(Place("test", tmp_path / "runs" / "test", url))
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_made_is_refused(tmp_path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ValueError, match="a study needs a folder"):
        begun(Place("test", tmp_path / "runs" / "test"))


@pytest.mark.parametrize("damage", [other_text, other_tables, lambda _: None])
def test_to_open_what_holds_no_study_makes_nothing(tmp_path, damage) -> None:
    damage(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for to_write in (False, True):
        with pytest.raises(ValueError, match=r"can be opened|there is no study") as error:
            open_storage(Place("test", tmp_path).url, to_write=to_write)
        assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
