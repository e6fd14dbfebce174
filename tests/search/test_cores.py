import os
import subprocess
import sys

import psutil
import pytest

from search.workers import cores as module
from search.workers.cores import CoreShare, cores

_QUOTA = (
    "mount -t tmpfs none /sys/fs/cgroup && echo {quota} 100000 > /sys/fs/cgroup/cpu.max && "
    "exec {python} -c 'from {module} import cores; print(cores())'"
)

needs_two = pytest.mark.skipif(cores() < 2, reason="needs two cores")


@pytest.fixture
def quiet(monkeypatch):
    """A machine whose other processes are what the test says."""
    taken = [0.0]
    monkeypatch.setattr(module._CpuTimes, "taken_by_others", lambda self, last: taken[0])
    # As many as a quota allows, if this machine has one.
    monkeypatch.setattr(module, "_processors", lambda: list(range(cores())))
    monkeypatch.setattr(module, "_VALID_FOR", 0.0)
    return taken


@pytest.fixture
def stranger():
    """A process that computes and belongs to no search: it is nobody's child."""
    code = (
        "import os, sys\nif os.fork(): sys.exit()\nprint(os.getpid(), flush=True)\nwhile 1: pass"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(started.stdout.readline())
    started.wait()
    yield pid
    os.kill(pid, 9)
    started.stdout.close()


def used(pid: int) -> float:
    """CPU time in seconds."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_a_number_that_the_user_chose_stays(tmp_path) -> None:
    share = CoreShare(7, tmp_path / "register")
    assert share.threads() == share.threads(fresh=True) == 7
    assert not (tmp_path / "register").exists()


@needs_two
def test_the_cores_are_shared_out_among_living_workers(tmp_path, quiet) -> None:
    share = CoreShare(None, tmp_path)
    assert share.threads() == cores()
    (tmp_path / str(os.getppid())).touch()
    assert share.threads() == max(1, cores() // 2)
    (tmp_path / str(os.getppid())).rename(tmp_path / "999999999")
    assert share.threads() == cores()
    assert [file.name for file in tmp_path.iterdir()] == [str(os.getpid())]


@needs_two
def test_a_core_is_left_to_others_who_need_it(tmp_path, quiet) -> None:
    share = CoreShare(None, tmp_path)
    for busy, left in ((0.0, 0), (0.4, 0), (0.6, 1), (1.0, 1), (100.0, cores() - 1)):
        quiet[0] = busy
        assert share.threads() == cores() - left


def test_a_stranger_is_seen_and_ones_own_work_is_not(tmp_path, stranger) -> None:
    last, theirs, own = module._CpuTimes.now([os.getpid()]), used(stranger), used(os.getpid())
    # Until both have worked, however little of the cores others leave to them.
    while min(used(stranger) - theirs, used(os.getpid()) - own) < 0.5:
        pass
    theirs, own = used(stranger) - theirs, used(os.getpid()) - own
    look = module._CpuTimes.now([os.getpid()])
    seconds = look.when - last.when
    taken = look.taken_by_others(last) * seconds
    assert 0.8 * theirs < taken < look.busy - last.busy - 0.8 * own


@needs_two
@pytest.mark.parametrize("module", ["search.workers.cores", "records.machine"])
@pytest.mark.parametrize(
    ("quota", "expected"), [("100000", 1), ("max", len(module._processors()))]
)
def test_a_container_s_quota_counts(module, quota, expected) -> None:
    own = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run(
        [*own, "mount -t tmpfs none /sys/fs/cgroup"], capture_output=True
    ).returncode:
        pytest.skip("needs to be allowed to mount")
    script = _QUOTA.format(quota=quota, python=sys.executable, module=module)
    done = subprocess.run([*own, script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == expected


@needs_two
def test_a_quota_is_not_eaten_up_by_others_on_other_processors(
    tmp_path, quiet, monkeypatch
) -> None:
    monkeypatch.setattr(module, "_processors", lambda: list(range(64)))
    quiet[0] = 40.0
    assert CoreShare(None, tmp_path).threads() == cores()


def test_only_processors_that_this_process_may_use_count() -> None:
    number, times = module._processors()[0], psutil.cpu_times(percpu=True)
    if number >= len(times):
        pytest.skip("processors are switched off or hidden")
    first = times[number]
    before = first.user + first.system + getattr(first, "nice", 0.0)
    one = subprocess.run(
        [
            *("taskset", "--cpu-list", str(number), sys.executable, "-c"),
            "from search.workers.cores import _CpuTimes; print(_CpuTimes.now([]).busy)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert before <= float(one.stdout) <= before + 60


def test_an_answer_holds_for_a_moment(tmp_path, monkeypatch) -> None:
    share = CoreShare(None, tmp_path)
    first = share.threads()
    monkeypatch.setattr(module._CpuTimes, "taken_by_others", lambda self, last: 1000.0)
    assert share.threads() == first
    assert share.threads(fresh=True) == first
    monkeypatch.setattr(module, "_VALID_FOR", 0.0)
    assert share.threads() == 1
