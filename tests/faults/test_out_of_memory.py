"""Allocations that really fail, since the worker's address space may no longer grow."""

import sys

import psutil
import pytest

from tests.faults.test_kills import is_worker
from tests.search.processes import kill, log_of, records, wait_until

resource = pytest.importorskip("resource")  # Not on Windows.

pytestmark = pytest.mark.slow

_ROOM = 150 * 2**20
"""Bytes that the worker may still allocate: little trials fit, large batches do not."""

MIXED = {
    "trials": 8,
    "training": {"epochs": 30},
    "space": {
        "fixed": ["depth"],
        "parameters": {"batch_size": {"type": "choice", "choices": [16, 65_536]}},
    },
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_trials_without_memory_are_pruned_and_the_search_goes_on(search, tmp_path) -> None:
    process = search(**MIXED)
    wait_until(lambda: "trial 0 epoch 2," in log_of(tmp_path))
    (worker,) = filter(is_worker, psutil.Process(process.pid).children())
    limit = worker.memory_info().vms + _ROOM
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (limit, limit))
    wait_until(lambda: "confirm trial" in log_of(tmp_path))
    assert process.poll() is None
    kill(process)
    ended = [r for r in records(tmp_path) if r.state != "requeued"]
    assert len(ended) == 8
    starved = [r for r in ended if r.reason and r.reason.startswith("out of memory")]
    assert starved
    assert {r.state for r in starved} == {"pruned"}
    assert {r.params["batch_size"] for r in starved} == {65_536}
    assert any(r.state == "complete" and r.number > starved[0].number for r in ended)
    assert "died" not in log_of(tmp_path)
