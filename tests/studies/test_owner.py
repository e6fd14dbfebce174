"""Who lives and who does not, whatever the clocks say."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from studies.attributes import OWNER
from studies.broker import Claim, Claims, owner
from studies.broker.owner import GRACE, Heartbeat, Observer, Owner, abandoned, this_machine
from studies.storage import close_storage
from studies.study import Place, find
from tests.studies.conftest import begun
from tests.studies.workers import broker_of

NO_PROC = {"machine": None, "ticks": None}


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock and the wall clock, both in our hands."""

    class Clock:
        monotonic, wall = 1000.0, 2e9

    monkeypatch.setattr(owner.time, "monotonic", lambda: Clock.monotonic)
    monkeypatch.setattr(owner.time, "time", lambda: Clock.wall)
    return Clock


@pytest.fixture
def sleeper():
    """Another process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def owner_with(process: subprocess.Popen) -> Owner:
    started = psutil.Process(process.pid).create_time()
    about = {"pid": process.pid, "started": started, "ticks": owner._ticks(process.pid)}
    return Owner.this_process().model_copy(update=about)


@pytest.mark.parametrize("without", [{}, NO_PROC], ids=["proc", "psutil"])
def test_a_process_lives_until_it_is_gone(sleeper, without) -> None:
    other = owner_with(sleeper).model_copy(update=without)
    assert not other.is_dead()
    sleeper.send_signal(signal.SIGSTOP)
    assert not other.is_dead()
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert other.is_dead()  # Nobody has collected it yet.
    sleeper.wait()
    assert other.is_dead()


def test_a_pid_that_was_used_again_is_another_process(sleeper) -> None:
    other = owner_with(sleeper)
    assert other.model_copy(update={"ticks": other.ticks - 1}).is_dead()
    old = other.model_copy(update={**NO_PROC, "started": other.started - 1000})
    assert old.is_dead()


def test_a_name_with_spaces_and_parentheses_is_read(tmp_path) -> None:
    program = tmp_path / "a) Z (b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not owner_with(process).is_dead()
        process.kill()


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_clock_that_steps_kills_nobody(sleeper, step) -> None:
    """After a step psutil tells other times of the start, as it adds them to that of the boot."""
    other = owner_with(sleeper)
    assert not other.model_copy(update={"started": other.started + step}).is_dead()


def test_owners_that_0_1_0_signed_are_still_known(sleeper) -> None:
    started = psutil.Process(sleeper.pid).create_time()
    signed = {"host": owner.this_host(), "pid": sleeper.pid, "started": started, "session": 7}
    old = Owner.model_validate(signed)
    assert old.is_here
    assert not old.is_dead()
    assert old.sign == f"alive:{owner.this_host()}:7"
    assert Owner.model_validate({**signed, "started": 1.0}).is_dead()
    assert not Owner.model_validate({**signed, "host": "elsewhere", "started": 1.0}).is_dead()


def test_two_machines_of_one_name_do_not_judge_each_others_processes() -> None:
    me = Owner.this_process()
    boot, _, namespace = this_machine().partition("/")
    for machine in (f"other/{namespace}", f"{boot}/pid:[1]"):
        twin = me.model_copy(update={"machine": machine, "pid": 2**22 - 1})
        assert (twin.host, twin.is_here, twin.is_dead()) == (me.host, False, False)
        assert twin.sign != me.sign
    renamed = me.model_copy(update={"host": "the name before"})
    assert renamed.is_here


def container() -> str:
    """Another container of this machine."""
    return f"{this_machine().partition('/')[0]}/pid:[1]"


def owned_elsewhere(place: Place, machine: str | None = None):
    """A study with one trial whose session's processes cannot be seen from here."""
    study = begun(place)
    broker = broker_of(study, place, 1)
    (claim,) = broker.claim(1).trials
    elsewhere = Owner.this_process().model_copy(update={"machine": machine or container()})
    trial = study.get_trials()[claim.number]
    study._storage.set_trial_user_attr(trial._trial_id, OWNER, elsewhere.model_dump())
    return study, broker, elsewhere


def test_a_session_elsewhere_is_gone_when_its_sign_no_longer_changes(place, clock) -> None:
    study, broker, elsewhere = owned_elsewhere(place)
    for _ in range(3):  # Of one that never gave a sign, nothing is known.
        assert broker.claim(1) == Claims(wait=True)
        clock.monotonic += GRACE
    for wall in (5.0, 1e12, -3.0):  # Whatever its clock says.
        study.set_user_attr(elsewhere.sign, wall)
        assert broker.claim(1) == Claims(wait=True)
        clock.monotonic += GRACE
        assert broker.claim(1) == Claims(wait=True)
    clock.monotonic += 1
    (again,) = broker.claim(1).trials
    assert isinstance(again, Claim)
    assert again.index == 0


def test_after_a_reboot_trials_in_a_sqlite_file_are_taken_over_at_once(place) -> None:
    """Its write-ahead log keeps all processes on one machine; a server's clients are anywhere."""
    study, broker, _ = owned_elsewhere(place, machine="the boot before/pid:[1]")
    on_file = place.storage is None
    assert abandoned(study) == ({0} if on_file else frozenset())
    if on_file:
        (again,) = broker.claim(1).trials
        assert (again.number, again.index) == (1, 0)
    else:
        assert broker.claim(1) == Claims(wait=True)


def test_after_a_reboot_another_journal_says_nothing_of_machines(tmp_path) -> None:
    place = Place("test", tmp_path)
    study, _, elsewhere = owned_elsewhere(place, machine="the boot before/pid:[1]")
    assert Observer(study).is_gone(elsewhere, {})
    close_storage(study._storage._backend)
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    assert not Observer(find(place)).is_gone(elsewhere, {})


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_step_of_the_observers_clock_steals_nothing(place, clock, step) -> None:
    study, broker, elsewhere = owned_elsewhere(place)
    study.set_user_attr(elsewhere.sign, clock.wall)
    assert broker.claim(1) == Claims(wait=True)
    clock.wall += step
    clock.monotonic += GRACE
    assert broker.claim(1) == Claims(wait=True)


def test_an_observer_that_has_just_come_waits(place, clock) -> None:
    study, _, elsewhere = owned_elsewhere(place)
    study.set_user_attr(elsewhere.sign, clock.wall - 1e6)
    observer = Observer(study)
    assert not observer.is_gone(elsewhere, study.user_attrs)
    clock.monotonic += GRACE + 1
    assert observer.is_gone(elsewhere, study.user_attrs)
    assert not Observer(study).is_gone(elsewhere, study.user_attrs)


def test_signs_of_life_are_written_now_and_then_under_the_name_that_workers_sign(
    place, clock
) -> None:
    study = begun(place)
    heart = Heartbeat(study)
    sign = Owner.this_process().model_copy(update={"session": os.getpid()}).sign
    heart.beat()
    first = study.user_attrs[sign]
    clock.wall += 5
    heart.beat()
    assert study.user_attrs[sign] == first
    clock.monotonic += owner.EVERY
    heart.beat()
    assert study.user_attrs[sign] != first


def test_abandoned_trials_are_those_of_processes_that_seem_gone(place) -> None:
    study, _, elsewhere = owned_elsewhere(place)
    assert abandoned(study) == frozenset()
    study.set_user_attr(elsewhere.sign, time.time() - GRACE - 10)
    assert abandoned(study) == {0}
    study.set_user_attr(elsewhere.sign, time.time())
    assert abandoned(study) == frozenset()
