"""SIGKILL at random moments, to the parent or to a worker: nothing is lost, nothing is left.

4 moments; `make faults` tries 100. After two kills without an epoch between them the third waits
for one: a trial that kills its workers three times at one place is given up, as it should be.
"""

import json
import os
import random
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from safetensors import safe_open

from records.trial import TrialRecord
from search.workers.trial import RunTrials
from studies.study import make_or_resume
from tests.search.conftest import plan_in, run_task
from tests.search.processes import ONCE, TINY, finished, kill, log_of, records, wait_until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CONVSEARCH_KILLS", "4"))

LONG = {
    "trials": 5,
    "training": {"epochs": 8 + 8 * KILLS},
    "workers": {"threads": 1, "checkpoint_every": 0.0},
    "confirm": {"top": 2, "seeds": 1},
}


def family_of(process: subprocess.Popen) -> list[psutil.Process]:
    """What the search has started."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in str(process.cmdline())
    except psutil.Error:
        return False


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


def kill_something(process: subprocess.Popen, what: random.Random, parent: bool) -> bool:
    """Kill the parent or one of its processes; whether the search has to be started again."""
    children = family_of(process)
    workers = [child for child in children if is_worker(child)]
    if workers and not parent:
        what.choice(workers).kill()
        return False
    process.kill()
    process.wait()
    assert all_gone(children), "processes outlive their parent"
    return True


def progress(tmp_path) -> int:
    """Epochs that no later run has to train again."""
    log = log_of(tmp_path)
    after_the_trials = set(re.findall(r"(?:confirm|final).* epoch \d+", log))
    furthest: dict[int | None, int] = {}
    for record in records(tmp_path) if log else []:
        furthest[record.index] = max(len(record.curve), furthest.get(record.index, 0))
    return sum(furthest.values()) + len(after_the_trials)


def ended(tmp_path) -> dict[int, TrialRecord]:
    """The trials that count, by their place in the search."""
    return {r.index: r for r in records(tmp_path) if r.state in ("complete", "pruned")}


def exported(tmp_path) -> dict:
    metrics = json.loads((tmp_path / "runs" / "tiny" / "best" / "metrics.json").read_text())
    return {key: metrics[key] for key in ("trial", "confirmed", "validation", "test")}


@pytest.mark.timeout(600 + 30 * KILLS)
def test_a_search_that_is_killed_ends_as_one_that_is_not(
    search, worker, finish_here, tmp_path
) -> None:
    moments, kills = random.Random(1), 0
    process, seen, reached = search(**LONG), {}, [-1, -1]
    while kills < KILLS:
        time.sleep(moments.uniform(0.0, 5.0))
        while process.poll() is None and reached == [progress(tmp_path)] * 2:
            time.sleep(0.2)
        reached = [*reached, progress(tmp_path)][-2:]
        if process.poll() is not None:
            break
        kills += 1
        if kill_something(process, moments, parent=kills % 2 == 0):
            if (tmp_path / "runs" / "tiny" / "study.db").exists() and log_of(tmp_path):
                now = ended(tmp_path)
                assert all(now[index] == record for index, record in seen.items())
                seen = now
            process = search(**LONG)
    children = family_of(process)
    finished(process, seconds=300.0 + 10 * KILLS)
    assert kills > KILLS / 2, "the search is too short for this test"
    assert all_gone(children)
    disturbed, result = ended(tmp_path), exported(tmp_path)
    assert not list(Path(tmp_path).rglob("*checkpoint*"))

    (tmp_path / "runs").rename(tmp_path / "disturbed")
    training = {**TINY["training"], **LONG["training"]}
    plan = plan_in(tmp_path, **{**LONG, "training": training})
    study = make_or_resume(plan.place, plan.purpose())
    run_task(RunTrials(plan, None), worker)
    assert finish_here(plan, study) is not None
    straight = ended(tmp_path)
    assert sorted(straight) == sorted(disturbed) == list(range(LONG["trials"]))
    for index, record in straight.items():
        other = disturbed[index]
        assert (record.params, record.state) == (other.params, other.state)
        assert record.curve == other.curve
    assert {**exported(tmp_path), "trial": None} == {**result, "trial": None}


def test_a_trial_goes_on_from_its_checkpoint(search, tmp_path) -> None:
    sections = {**LONG, "trials": 1, "training": {"epochs": 60}, "confirm": ONCE}
    process = search(**sections)
    wait_until(lambda: "trial 0 epoch 40," in log_of(tmp_path))
    kill(process)
    file = tmp_path / "runs" / "tiny" / "checkpoints" / "trial-0.safetensors"
    with safe_open(file, framework="np") as checkpoint:
        told = json.loads(checkpoint.metadata()["convsearch.checkpoint"])["records"]
    assert len(told) >= 40
    process = search(**sections)
    wait_until(lambda: re.search(r"trial \d+ complete", log_of(tmp_path)))
    kill(process)
    seconds = ended(tmp_path)[0].history["seconds"][: len(told)]
    # Trained again, they would have taken another time.
    assert seconds == pytest.approx([record["seconds"] for record in told], rel=1e-5)
    assert not file.exists()
