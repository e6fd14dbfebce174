"""Folders with names that mean something to a URL or a shell."""

import shlex
import sqlite3
from contextlib import closing

import pytest

from search.display.dashboard import how_to_watch
from search.display.summary import command
from studies.storage import close_storage, open_storage, shown, sqlite_file
from studies.study import Place, make_or_resume
from tests.studies.conftest import purpose

ODD = ["a?b", "100%25", "with space", "c#d &e=f", "it's $HOME", '"{x}"; @:+ü']


@pytest.mark.parametrize("name", ODD)
def test_the_database_is_in_the_folder(tmp_path, name) -> None:
    place = Place("tiny", tmp_path / name / "tiny")
    make_or_resume(place, purpose())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with closing(sqlite3.connect(place.folder / "study.db")) as database:
        assert database.execute("SELECT study_name FROM studies").fetchall() == [("tiny",)]
    assert sqlite_file(place.url) == place.folder / "study.db"
    # The URL that people are told opens it as well.
    close_storage(open_storage(shown(place.url), to_write=False))


@pytest.mark.parametrize("name", ODD)
def test_what_is_printed_can_be_pasted_into_a_shell(tmp_path, name) -> None:
    place = Place("tiny", tmp_path / name / "tiny")
    words = ["--study", "tiny", "--runs", str(tmp_path / name)]
    assert shlex.split(place.flags) == words
    assert shlex.split(command("search.finalize", place))[3:] == words
    told = shlex.split(how_to_watch(place, None))
    assert told[1:] == [
        "optuna-dashboard", shown(place.url), "--artifact-dir", str(place.folder / "artifacts")
    ]  # fmt: skip


def test_flags_name_only_what_is_not_usual(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Place("x", tmp_path.relative_to(tmp_path) / "runs" / "x").flags == "--study x"
    url = "postgresql://me:secret@host/db?sslmode=require"
    flags = Place("x", tmp_path / "x", url).flags
    assert "secret" not in flags
    assert "'" in flags
