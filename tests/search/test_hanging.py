"""Workers that hang: real processes that sleep for ever or are stopped."""

import math
import multiprocessing
import os
import re
import signal

import pytest

from records.trial import TrialRecord
from search.display.progress import Display
from search.session import run_search
from search.workers.engines import patience
from search.workers.engines.patience import Patience, awake
from search.workers.events import Began, Ended, EpochEnded, WorkerHung, WorkerLost
from search.workers.pool import WorkerPool, _Member
from studies.attributes import trial_records
from studies.study import Place, find
from tests.search.chores import HangOnce
from tests.search.conftest import config_in


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (Patience(), math.inf),  # Nothing is known, so nothing is too long.
        (Patience(longest=5.0), 600.0),
        (Patience(longest=200.0), 2000.0),
        (Patience(timeout=600.0), 1200.0),
        (Patience(timeout=20.0), 140.0),  # Longer than a locked database is waited for.
        (Patience(timeout=30.0, longest=70.0), 240.0),
        (Patience(timeout=60.0, compiles=True), 780.0),
        (Patience(timeout=86_400.0, longest=5.0), 600.0),
    ],
)
def test_a_worker_may_be_silent_for_so_long(given, limit) -> None:
    assert given.limit == limit


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (Patience(), math.inf),
        (Patience(longest=5.0), 6000.0),
        (Patience(longest=200.0), 20_000.0),
        (Patience(timeout=30.0, longest=70.0), 2130.0),
    ],
)
def test_a_first_epoch_may_take_much_longer(given, limit) -> None:
    assert given.first_limit == limit


@pytest.mark.parametrize(("silent", "seconds", "paced"), [(70.0, 69.0, True), (0.0, 69.0, False)])
def test_an_epoch_from_a_checkpoint_is_no_first_epoch(silent, seconds, paced) -> None:
    member, one = _Member(None, None), Patience(longest=5.0)
    member.hear(Began("training", "", 3), one)
    member.silent = silent
    member.hear(EpochEnded("training", 1, 0.5, 1.0, seconds), one)
    assert member.paced == paced
    member.hear(Began("another", "", 3), one)
    assert not member.paced


def test_trials_of_this_host_tell_how_long_an_epoch_takes() -> None:
    given = {
        "index": 0, "state": "complete", "accuracy": 0.5, "params": {}, "config": None,
        "curve": {}, "reason": None, "started": None, "ended": None,
    }  # fmt: skip
    trials = [
        TrialRecord(number=0, worker="here:12", history={"seconds": [80.0, 90.0, None]}, **given),
        TrialRecord(number=1, worker="there:12", history={"seconds": [300.0]}, **given),
        TrialRecord(number=2, worker=None, history={}, **given),
    ]
    for known, longest in [(None, 90.0), (7.0, 7.0)]:
        one = Patience(timeout=1.0, longest=known)
        one.after_trials(trials, "here")
        assert (one.timeout, one.longest) == (None, longest)
    one = Patience()
    one.after_trials(trials, "elsewhere")
    assert one.limit == math.inf


def test_the_longest_silence_counts_and_sleep_does_not() -> None:
    one = Patience(longest=100.0)
    one.heard(90.0)
    one.heard(300.0)
    assert one.limit == 3000.0
    assert awake(0.2) == 0.2
    assert awake(3600.0) == 1.0  # This process was stopped, or the machine was asleep.


@pytest.mark.slow
@pytest.mark.parametrize(("trial", "losses"), [(7, 0), (None, 1)])
def test_a_worker_that_hangs_is_ended_and_replaced(tmp_path, monkeypatch, trial, losses) -> None:
    monkeypatch.setattr(patience, "GRACE", 1.0)
    task, seen, told = HangOnce(tmp_path / "before", trial), [], []
    with WorkerPool(1, trains=False, patience=Patience(timeout=1.0)) as pool:
        pool.grow(1)
        for _, event in pool.run([task]):
            if event is not None:
                told.append(event)
                seen.append(pool._members[0].losses)
    hung, lost = told[2:4]
    assert isinstance(hung, WorkerHung)
    assert hung.training.trial == trial
    assert re.fullmatch(r"its worker gave no sign for \d+ s in epoch 2", hung.reason)
    assert lost == WorkerLost("worker 0 died (exit code -9); another one takes over")
    assert seen[3] == losses  # A trial that ends is progress.
    assert told[-1].result == "done"


class Enough(Exception):
    """Ends a search once it has shown what it should."""


class StopsAWorker(Display):
    """Stops the worker process in the second trial, as one in a driver that hangs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, worker, event) -> None:
        if isinstance(event, WorkerHung):
            self.lines.append(event.message)
        if isinstance(event, Ended):
            self.lines.append(f"{event.job} {event.outcome.state} {event.outcome.reason}")
        if isinstance(event, EpochEnded) and (event.job, event.epoch) == ("trial 1", 2):
            (child,) = multiprocessing.active_children()
            os.kill(child.pid, signal.SIGSTOP)

    def counts(self, counts, seconds_left) -> None:
        if counts.done == 3:
            raise Enough


@pytest.mark.slow
def test_a_trial_that_hangs_fails_and_the_search_goes_on(
    image_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(patience, "GRACE", 1.0)
    study = {"trial_timeout": 5.0, "pruner": "none"}
    shown = StopsAWorker()
    with pytest.raises(Enough):
        run_search(config_in(tmp_path, study=study, trials=4), shown)
    trials = trial_records(find(Place("tiny", tmp_path / "runs" / "tiny")))
    assert [t.state for t in trials][:4] == ["complete", "failed", "complete", "complete"]
    assert trials[1].cause == "timed out"
    reason = trials[1].reason
    assert re.fullmatch(r"its worker gave no sign for \d+ s in epoch 3", reason)
    assert shown.lines[1:3] == [
        f"worker 0 hangs at trial 1 and is ended: {reason}",
        f"trial 1 failed {reason}",
    ]
