"""A search whose machine seems gone: its trial is taken over, and then it comes back."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from records.outcome import EpochRecord, Outcome, State
from search.plan import Plan
from search.workers.trial import open_broker
from studies.broker import Answer, Broker, Claim, owner
from tests.search.conftest import plan_in
from tests.search.processes import TINY, kill, log_of, records, wait_until

pytestmark = pytest.mark.slow

SECTIONS = {
    "trials": 3,
    "training": {"epochs": 60},
    "study": {"startup_trials": 2, "pruner": "none"},
    "workers": {"threads": 1, "checkpoint_every": 0.0},
}


def stop_between_writes(group: int, database: Path) -> None:
    """SIGSTOP, as a suspended machine, and not while the database is locked."""
    while True:
        os.killpg(group, signal.SIGSTOP)
        with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                os.killpg(group, signal.SIGCONT)
                time.sleep(0.05)


def taken_over(broker: Broker) -> Claim:
    """The trial of the other machine, as soon as it is taken for gone."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        for claim in broker.claim(1).trials:
            if claim.passed:
                return claim
            broker.settle(claim, Outcome(State.REQUEUED))
        time.sleep(0.1)
    raise AssertionError("nothing was taken over")


def as_another_machine(monkeypatch, plan: Plan) -> Broker:
    """A broker in another container, which cannot see these processes, of little patience."""
    boot = str(owner.this_machine()).partition("/")[0]
    monkeypatch.setattr(owner, "this_machine", lambda: f"{boot}/pid:[1]")
    monkeypatch.setattr(owner, "GRACE", 0.5)
    return open_broker(plan)


def epoch(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=0.01,
        lr=0.1, seconds=1.0, images=60,
    )  # fmt: skip


def test_a_stopped_search_comes_back_drops_what_it_lost_and_goes_on(
    search, tmp_path, monkeypatch
) -> None:
    process = search(**SECTIONS)
    wait_until(lambda: "trial 1 epoch 5," in log_of(tmp_path))
    database = tmp_path / "runs" / "tiny" / "study.db"
    stop_between_writes(process.pid, database)

    sections = {k: v for k, v in SECTIONS.items() if k != "training"}
    plan = plan_in(tmp_path, **sections, training={**TINY["training"], "epochs": 60})
    broker = as_another_machine(monkeypatch, plan)
    claim = taken_over(broker)
    assert claim.passed >= 5
    history = [epoch(number) for number in range(1, 61)]
    assert {broker.report(claim, record) for record in history} == {Answer.GO}
    assert broker.settle(claim, Outcome(State.COMPLETE, tuple(history)))

    os.killpg(process.pid, signal.SIGCONT)
    wait_until(lambda: "confirm trial" in log_of(tmp_path))
    kill(process)
    assert "someone else has taken or ended it" in log_of(tmp_path)
    assert "Traceback" not in log_of(tmp_path)
    ended = {r.index: r for r in records(tmp_path) if r.state in ("complete", "pruned")}
    assert sorted(ended) == [0, 1, 2]
    assert ended[claim.index].accuracy == 0.01
    states = [r.state for r in records(tmp_path) if r.index == claim.index]
    assert states.count("complete") == 1
