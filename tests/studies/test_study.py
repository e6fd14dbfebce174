import sqlite3
from contextlib import closing

import optuna
import pytest

from studies.storage import close_storage, make_storage, open_storage, shown, sqlite_file
from studies.study import SETTINGS, Place, Purpose, find, make_or_resume
from tests.studies.conftest import FIRST, begun, purpose


def test_a_new_study_begins_with_the_default(place) -> None:
    study = make_or_resume(place, purpose())
    trial = study.ask()
    assert trial.suggest_float("lr", 0.1, 10.0, log=True) == FIRST["lr"]
    assert study.user_attrs[SETTINGS] == {"trials": 5}


def test_a_second_look_finds_the_same_study(place) -> None:
    make_or_resume(place, purpose())
    study = make_or_resume(place, purpose())
    assert len(study.get_trials()) == 1
    assert find(place).study_name == place.name


def test_a_study_of_something_else_is_refused_with_every_difference(place) -> None:
    make_or_resume(place, purpose())
    with pytest.raises(ValueError, match="was made with|made with") as error:
        make_or_resume(place, purpose(epochs=8, lr={"low": 0.2}, sampler="gp"))
    for part in ("epochs 6, not 8", "low of lr 0.1, not 0.2", "no sampler, not gp"):
        assert part in str(error.value)
    assert "--study NAME" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_of_somebody_else_is_refused(place) -> None:
    foreign = optuna.create_study(storage=place.url, study_name=place.name)
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    close_storage(foreign._storage._backend)
    with pytest.raises(ValueError, match="must be one that convsearch made"):
        make_or_resume(place, purpose())


def test_an_unknown_study_shows_the_known_ones(place) -> None:
    make_or_resume(place, purpose())
    other = Place("other", place.folder, place.url)
    with pytest.raises(ValueError, match=f"no study 'other'.*{place.name}"):
        find(other)


def test_looking_for_a_study_makes_nothing(tmp_path) -> None:
    begun(Place("there", tmp_path / "there"))
    with pytest.raises(ValueError, match="no study 'gone' in .* it holds there"):
        find(Place("gone", tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()


def test_sqlite_is_in_wal_mode_and_patient(tmp_path) -> None:
    place = Place("test", tmp_path)
    begun(place)
    path = sqlite_file(place.url)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    storage = open_storage(place.url)
    with storage.engine.connect() as connection:
        ask = connection.exec_driver_sql
        assert ask("PRAGMA synchronous").scalar() == 1
        assert ask("PRAGMA busy_timeout").scalar() == 60_000
    close_storage(storage)


@pytest.mark.parametrize(
    "url", ["nonsense", "oracle+nothing://x", "sqlite:////proc/nowhere/study.db"]
)
def test_storages_that_cannot_be_opened_are_refused_in_one_sentence(url) -> None:
    with pytest.raises(
        ValueError, match="must be the URL of a database that can be opened"
    ) as error:
        make_storage(url)
    assert "\n" not in str(error.value)


def test_files_that_are_no_database_are_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(b"these are my notes and not a database" * 100)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="file is not a database"):
        make_storage(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_passwords_are_not_shown() -> None:
    assert "secret" not in shown("postgresql+psycopg://me:secret@host/db")
    with pytest.raises(ValueError, match="host") as error:
        make_storage("postgresql+nothing://me:secret@host/db")
    assert "secret" not in str(error.value)


def test_a_study_whose_making_was_cut_short_is_completed(place) -> None:
    cut = make_or_resume(place, Purpose(purpose().fingerprint, {"trials": 5}, {}))
    assert len(cut.get_trials()) == 0
    assert len(make_or_resume(place, purpose()).get_trials()) == 1


def test_what_a_key_had_before_there_was_one_refuses_no_old_study(place) -> None:
    old = {"training": {"lr": 1.0}, "space": {"lr": {"low": 0.1}}}
    make_or_resume(place, Purpose(old, {}, {}))
    defaults = {"training": {"lr": 2.0, "new": 0}, "space": {"lr": {"log": False}}}

    def resume(training: dict, lr: dict, **more) -> None:
        wanted = {"training": training, "space": {"lr": lr, **more}}
        make_or_resume(place, Purpose(wanted, {}, {}, defaults))

    resume({"lr": 1.0, "new": 0}, {"low": 0.1, "log": False})
    with pytest.raises(ValueError, match=r"has new 0, not 5:"):
        resume({"lr": 1.0, "new": 5}, {"low": 0.1, "log": False})
    with pytest.raises(ValueError, match=r"has log of lr off, not on:"):
        resume({"lr": 1.0, "new": 0}, {"low": 0.1, "log": True})
    with pytest.raises(ValueError, match=r"has lr 1.0, not 2.0:"):
        resume({"lr": 2.0, "new": 0}, {"low": 0.1, "log": False})
    with pytest.raises(ValueError, match=r"has depth fixed, not searched:"):
        resume({"lr": 1.0, "new": 0}, {"low": 0.1, "log": False}, depth={"low": 1})


def test_what_decides_nothing_is_ignored_in_old_studies(place) -> None:
    make_or_resume(place, Purpose({"data": {"name": "a", "images": "f00"}}, {}, {}))
    wanted = {"data": {"images": "f00"}}
    with pytest.raises(ValueError, match=r"name a, not none"):
        make_or_resume(place, Purpose(wanted, {}, {}))
    make_or_resume(place, Purpose(wanted, {}, {}, ignored=["data.name"]))
