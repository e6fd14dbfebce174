"""Studies that are deleted while a search works on them."""

import errno
import multiprocessing
import os
import re
import shutil
from contextlib import suppress

import optuna
import pytest

from search.display.progress import Display
from search.display.summary import conclude
from search.session import run_search
from search.workers.events import EpochEnded
from studies.broker.presence import Presence
from studies.study import Place, find, make_or_resume
from tests.search.conftest import config_in
from tests.studies.conftest import purpose


def remove_file(place: Place) -> None:
    (place.folder / "study.db").unlink()


def replace_file(place: Place) -> None:
    database = place.folder / "study.db"
    shutil.copy(database, place.folder / "copy")
    (place.folder / "copy").replace(database)


def remove_folder(place: Place) -> None:
    # What workers write at the very moment may come too late for it.
    while place.folder.exists():
        with suppress(OSError):
            shutil.rmtree(place.folder)


def delete_study(place: Place) -> None:
    optuna.delete_study(study_name=place.name, storage=place.url)


@pytest.mark.parametrize(
    ("delete", "what"),
    [
        (remove_file, "database '.*study.db' was removed or replaced"),
        (replace_file, "database '.*study.db' was removed or replaced"),
        (remove_folder, "database '.*study.db' was removed or replaced"),
        (delete_study, "it was deleted from 'sqlite:///.*study.db'"),
    ],
)
def test_a_deleted_study_is_noticed(tmp_path, delete, what) -> None:
    place = Place("tiny", tmp_path / "runs" / "tiny")
    study = make_or_resume(place, purpose())
    presence = Presence(study, place)
    study.set_user_attr("key", "value")
    assert presence.lost() is None
    delete(place)
    assert re.search(what, presence.lost())


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_file_that_cannot_be_looked_at_is_not_deleted(tmp_path, number) -> None:
    class Share(type(tmp_path)):
        def stat(self, **options):
            raise OSError(number, os.strerror(number))

    place = Place("tiny", tmp_path / "runs" / "tiny")
    presence = Presence(make_or_resume(place, purpose()), place)
    presence._path = Share(presence._path)
    assert presence.lost() is None


class Deletes(Display):
    """Deletes the study in the first trial; keeps what is said."""

    def __init__(self, place: Place, delete) -> None:
        self.place, self.delete, self.lines = place, delete, []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def event(self, worker, event) -> None:
        if isinstance(event, EpochEnded) and (event.job, event.epoch) == ("trial 0", 1):
            self.delete(self.place)


@pytest.mark.slow
@pytest.mark.parametrize("delete", [delete_study, remove_folder])
def test_a_search_whose_study_is_deleted_ends_in_one_line(
    image_folder, tmp_path, capsys, delete
) -> None:
    place = Place("tiny", tmp_path / "runs" / "tiny")
    shown = Deletes(place, delete)
    assert conclude(lambda: run_search(config_in(tmp_path), shown)) == 1
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("error: study 'tiny' must stay while a search works on it, but ")
    assert line.endswith("run the same command again to begin anew")
    assert not [line for line in shown.lines if "not up to date" in line]
    assert not multiprocessing.active_children()
    if delete is delete_study:
        assert "it was deleted from" in (place.folder / "search.log").read_text()
        with pytest.raises(ValueError, match="there is no study"):
            find(place)
