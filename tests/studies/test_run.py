"""`studies.run`: studies that are looked at, copied there and back, exported and deleted."""

import csv
import json
import re

import pytest
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note

from records.outcome import Cause, State
from studies.attributes import OWNER, trial_records
from studies.broker.owner import Heartbeat, Owner, sign_of
from studies.broker.sessions import Sessions, others_at_work
from studies.dashboard.artifacts import attach
from studies.run.copy import copy
from studies.run.overview import places
from studies.study import SETTINGS, Place, find, make_or_resume
from tests.studies.conftest import SERVERS, begun, purpose
from tests.studies.test_artifacts import attached
from tests.studies.workers import broker_of, ended, run_one

TOTAL = 6
GONE = {"pid": 2**22 + 1, "session": 2**22 + 1, "ticks": 1}


@pytest.fixture
def laptop(tmp_path) -> Place:
    """A study with trials in every state, one of them left by a worker that was killed."""
    place = Place("mine", tmp_path / "laptop" / "mine")
    study = begun(place)
    broker = broker_of(study, place, TOTAL)
    first, second, third, left = broker.claim(4).trials
    run_one(broker, first)
    broker.settle(second, ended(State.PRUNED, 0.25, cause=Cause.DIVERGED, reason="diverged"))
    broker.settle(third, ended(State.FAILED, cause=Cause.ERROR, reason="Oops: 1"))
    owner = Owner.this_process().model_copy(update=GONE)
    left = study.get_trials()[left.number]
    study._storage.set_trial_user_attr(left._trial_id, OWNER, owner.model_dump())
    save_note(study.ask(), "a note of a trial")
    study.tell(4, state=TrialState.FAIL)
    study.enqueue_trial({"lr": 2.0})
    (tmp_path / "card.md").write_text("a model")
    attach(study, place, {"card.md": tmp_path / "card.md"})
    return place


@pytest.fixture(params=["sqlite", *SERVERS])
def cluster(request, tmp_path) -> Place:
    """Where a copy can go."""
    url = f"sqlite:///{tmp_path}/cluster.db"
    if request.param != "sqlite":
        url = request.getfixturevalue(f"{request.param}_url")
    # Not the first study there, so that its trials have other ids.
    begun(Place(f"other-{tmp_path.name}", tmp_path / "other", url))
    return Place(f"copy-{tmp_path.name}", tmp_path / "cluster" / f"copy-{tmp_path.name}", url)


def essence(place: Place) -> list:
    """What all copies of a study have in common."""
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs,
         t.system_attrs, t.datetime_start.replace(microsecond=0) if t.datetime_start else None)
        for t in find(place).get_trials()[:3]
    ]  # fmt: skip


def test_a_study_moves_to_a_cluster_and_back_and_goes_on(laptop, cluster, tmp_path) -> None:
    before = essence(laptop)
    assert copy(laptop, cluster) == 6
    home = Place("mine", tmp_path / "home" / "mine")
    copy(cluster, home)
    assert essence(laptop) == essence(cluster) == essence(home) == before
    assert attached(find(home), home) == {"card.md": "a model"}
    study = find(home)
    of_trial = study._storage.get_study_system_attrs(study._study_id)
    trial = study.get_trials()[4]._trial_id
    assert of_trial[f"dashboard:{trial}:note_str:0"] == "a note of a trial"
    assert (study.user_attrs[SETTINGS]["study"], get_note(study)) == ({"name": "mine"}, "")

    for place in (cluster, home):
        make_or_resume(place, purpose())  # It is not refused.
        broker = broker_of(begun(place), place, TOTAL)
        while claims := broker.claim(1).trials:
            run_one(broker, claims[0])
        records = trial_records(find(place))
        assert sum(record.done for record in records) == TOTAL
        assert next(r for r in records if r.number == 3).state == State.REQUEUED
    assert find(laptop).get_trials()[3].state == TrialState.RUNNING


def test_nothing_is_copied_onto_something(here, tmp_path) -> None:
    begun(here)
    with pytest.raises(ValueError, match="must be a new study, but .* holds 'test'"):
        copy(here, here)
    other = Place("test", tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "diary.txt").touch()
    with pytest.raises(ValueError, match="there are files in"):
        copy(here, other)
    assert [path.name for path in other.folder.iterdir()] == ["diary.txt"]


@pytest.mark.slow
def test_what_does_not_fit_leaves_nothing_behind(here, mysql_url, tmp_path) -> None:
    begun(here).set_user_attr("long", "x" * 70_000)
    begun(Place(f"other-{tmp_path.name}", tmp_path / "other", mysql_url))
    target = Place(f"long-{tmp_path.name}", tmp_path / "target", mysql_url)
    with pytest.raises(ValueError, match="must hold all of a study, but .*too long"):
        copy(here, target)
    assert target.name not in [place.name for place in places(tmp_path, mysql_url)]


def test_a_study_at_work_is_neither_copied_nor_deleted(here, tmp_path, command) -> None:
    study = begun(here)
    broker_of(study, here, TOTAL).claim(1)
    signed = Owner.this_process()
    elsewhere = sign_of("another machine", "7")
    assert others_at_work(study) == Sessions(here=1)  # Its session is the parent of this process.
    study.tell(0, 0.5)
    Heartbeat(study).beat()
    assert others_at_work(study) == Sessions()
    study.set_user_attr(elsewhere, find(here).user_attrs[sign_of(signed.machine, str(signed.pid))])
    assert others_at_work(study) == Sessions(hosts=1)
    where = ["test", "--runs", str(tmp_path.parent)]
    place = Place("test", tmp_path.parent / "test")
    begun(place).set_user_attr(elsewhere, study.user_attrs[elsewhere])
    for words in (["copy", *where, "--to", tmp_path / "there"], ["delete", *where, "--yes"]):
        code, _, errors = command(*words)
        assert (code, "1 other host works on it: stop that first" in errors) == (2, True)
    assert len(find(place).get_trials()) == 1
    study.set_user_attr(elsewhere, 1.0)
    assert not others_at_work(study)


@pytest.fixture
def command(run_here):
    """Run the command in this process: exit code, output, errors."""

    def command(*words: object) -> tuple[int, str, str]:
        done = run_here("studies.run.__main__", *words)
        return done.returncode, done.stdout, done.stderr

    return command


def test_studies_are_listed_and_shown(laptop, command) -> None:
    runs = ["--runs", laptop.folder.parent]
    _, listed, _ = command("list", *runs)
    assert re.search(r"^mine +1 +1 +2 +1 +1 +0\.\d{4} +20", listed, re.MULTILINE), listed
    _, shown, _ = command("show", "mine", *runs)
    for part in ("1 complete, 1 pruned, 2 failed", "causes   ", "diverged 1", "trials = 5"):
        assert part in shown
    _, listed, _ = command("list", "--json", *runs)
    _, shown, _ = command("show", "mine", "--json", *runs)
    details = json.loads(shown)
    assert json.loads(listed)[0].items() <= details.items()
    assert details["settings"] == {"trials": 5}
    assert [trial["number"] for trial in details["trials"]] == [0]
    assert "there is no study in" in command("list", "--runs", laptop.folder / "none")[1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_trials_are_a_table(laptop, command, tmp_path, suffix) -> None:
    path = tmp_path / "out" / f"trials.{suffix}"
    if suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    code, said, _ = command("export", "mine", "--runs", laptop.folder.parent, "--to", path)
    assert (code, said) == (0, f"6 trials in '{path}'\n")
    if suffix == "csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
    else:
        rows = parquet.read_table(path).to_pylist()
    records = trial_records(find(laptop))
    assert [int(row["number"]) for row in rows] == list(range(6))
    assert [row["state"] for row in rows] == [str(record.state) for record in records]
    assert float(rows[0]["score"]) == records[0].accuracy
    assert float(rows[0]["params.lr"]) == records[0].params["lr"]
    assert rows[1]["cause"] == "diverged"


def test_no_other_kind_of_table(laptop, command) -> None:
    code, _, errors = command("export", "mine", "--runs", laptop.folder.parent, "--to", "x.xlsx")
    assert (code, errors) == (
        2,
        "error: trials are exported as .csv or .parquet, but got 'x.xlsx'\n",
    )


def test_deleting_asks_and_says_what_goes(laptop, command, monkeypatch) -> None:
    runs = ["--runs", laptop.folder.parent]
    code, _, errors = command("delete", "mine", *runs)
    assert (code, "nobody can be asked" in errors) == (2, True)
    assert len(find(laptop).get_trials()) == 6
    code, said, _ = command("delete", "mine", "--yes", *runs)
    assert (code, "with its 6 trials goes from" in said) == (0, True)
    assert [path.name for path in laptop.folder.iterdir()] == ["artifacts"]
    assert command("delete", "mine", "--yes", *runs)[0] == 2


def test_a_folder_goes_only_if_it_is_named(laptop, command) -> None:
    command("delete", "mine", "--yes", "--folder", "--runs", laptop.folder.parent)
    assert not laptop.folder.exists()


def test_of_two_studies_in_a_storage_one_is_deleted(place, command) -> None:
    other = Place(f"{place.name}-other", place.folder, place.url)
    begun(place)
    begun(other)
    words = ["--yes", "--runs", place.folder.parent, "--storage", place.url]
    assert command("delete", other.name, *words)[0] == 0
    assert len(find(place).get_trials()) == 1
