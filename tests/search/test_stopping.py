"""Searches that are interrupted or killed, and go on."""

import json
import os
import re
import signal

import psutil
import pytest

from search.workers.trial import RunTrials
from studies.study import make_or_resume
from tests.search.conftest import plan_in, run_task
from tests.search.processes import TINY, done, finished, kill, log_of, records, wait_until

pytestmark = pytest.mark.slow


def test_ctrl_c_once_ends_cleanly_and_the_search_goes_on_bit_for_bit(
    search, worker, tmp_path
) -> None:
    slow = {"training": {"epochs": 40}, "trials": 4}
    process = search(**slow, report=True)
    wait_until(lambda: "trial 1 epoch 2" in log_of(tmp_path))
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to everybody.
    output = finished(process, code=130)
    assert "stopping after the running epochs" in output
    assert re.search("[123] of 4 trials done; nothing is lost, run the same command again", output)
    assert "python -m search.finalize --study tiny" in output
    page = (tmp_path / "runs" / "tiny" / "report" / "index.html").read_text()
    assert re.search("Stopped: [123] of 4 trials done", page)
    assert "Traceback" not in output
    assert [record.state for record in records(tmp_path)][-2:] == ["requeued", "waiting"]
    process = search(**slow)
    wait_until(lambda: done(tmp_path) == 4)
    kill(process)
    resumed = [r for r in records(tmp_path) if r.state in ("complete", "pruned")]

    (tmp_path / "runs" / "tiny").rename(tmp_path / "runs" / "first")
    plan = plan_in(tmp_path, trials=4, training={**TINY["training"], "epochs": 40})
    make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, None), worker)
    straight = records(tmp_path)
    assert len(resumed) == len(straight) == 4
    for mine, other in zip(resumed, straight, strict=True):
        assert (mine.params, mine.state, mine.curve) == (other.params, other.state, other.curve)


def test_ctrl_c_twice_stops_at_once_and_loses_nothing(search, tmp_path) -> None:
    process = search(training={"epochs": 500})
    wait_until(lambda: "trial 0 epoch 2" in log_of(tmp_path))
    children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        if "spawn_main" in str(child.cmdline()):
            child.suspend()  # As one does not answer in a long epoch.
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "Ctrl-C again stops at once" in log_of(tmp_path))
    process.send_signal(signal.SIGINT)
    output = finished(process, code=130)
    assert "nothing is lost" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    states = [record.state for record in records(tmp_path)]
    assert states == ["requeued", "waiting"]


def test_a_killed_worker_is_replaced_and_finalize_works_on_what_was_stopped_early(
    search, run_module, tmp_path
) -> None:
    process = search(training={"epochs": 30}, confirm={"top": 1, "seeds": 2})
    wait_until(lambda: "trial 1 epoch 2" in log_of(tmp_path))
    (worker,) = [
        c for c in psutil.Process(process.pid).children() if "spawn_main" in str(c.cmdline())
    ]
    worker.kill()
    wait_until(lambda: done(tmp_path) == 2)
    process.terminate()
    output = finished(process, code=143)
    assert "worker 0 died (exit code -9); another one takes over" in output
    states = [record.state for record in records(tmp_path)]
    assert states[1] == "requeued"
    done_before = done(tmp_path)
    assert 2 <= done_before < 6
    (elsewhere := tmp_path / "elsewhere").mkdir()
    words = ["--study", "tiny", "--runs", "../runs"]
    outcome = run_module("search.finalize", *words, cwd=elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    assert "test accuracy: " in outcome.stdout
    assert done(tmp_path) == done_before
    best = tmp_path / "runs" / "tiny" / "best"
    assert json.loads((best / "metrics.json").read_text())["confirmed"]["n"] == 2


def test_a_search_goes_on_when_nobody_reads_what_it_prints(search, tmp_path) -> None:
    process = search("--trials", 2, confirm={"top": 1, "seeds": 99})
    process.stdout.close()  # As after `2>&1 | head`.
    wait_until(lambda: "confirm trial" in log_of(tmp_path))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=100) == 130
    place = "runs/tiny/search.log"
    assert re.search(f"Broken pipe.; the search goes on, its log is .*{place}", log_of(tmp_path))
