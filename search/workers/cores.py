"""Sharing the CPU's cores: with other workers on this machine, and with everybody else's work.

Threads that wait for each other spin. With more of them than free cores, each wait lasts until the
system happens to switch: two trainings at once were seen to take fifty times as long as one, and
one with two threads, beside a single busy process of another session, forty times as long as
with one thread.
"""

import getpass
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from records.machine import cores

# Seconds over which the load of others is measured, while this process does nothing itself.
_SAMPLE = 0.3
_VALID_FOR = 2.0  # Seconds for which an answer holds.
# Cores that others may use before one is left to them: up to there, two threads are still faster
# than one.
_SLACK = 0.5


def _processors() -> list[int]:
    """Numbers of the processors that this process may run on; a quota takes time, not these."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _user() -> str:
    """Who runs this, by number where users have one: in a container it may have no name."""
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


class CoreShare:
    """This worker's share, as others come and go.

    Args:
        fixed: A number of threads that the user chose; None = an even share of what is free.
        register: Folder in which every worker on this machine has a file named by its process.
    """

    def __init__(self, fixed: int | None, register: Path | None = None) -> None:
        self._fixed, self._threads = fixed, fixed or 1
        everybody = Path(tempfile.gettempdir()) / f"convsearch-{_user()}"
        self._register = register or everybody
        self._last: _CpuTimes | None = None
        if fixed is None:
            self._register.mkdir(mode=0o700, exist_ok=True)
            (self._register / str(os.getpid())).touch()

    def threads(self, *, fresh: bool = False) -> int:
        """How many threads to compute with now.

        Judged by what others did since the last question, unless that is only a moment ago;
        if `fresh`, by the next moment instead, in which the caller does nothing.
        """
        if self._fixed is not None:
            return self._fixed
        if self._last is None or (fresh and self._last.age() > _VALID_FOR):
            self._last = _CpuTimes.now(self._workers())
            time.sleep(_SAMPLE)
        elif self._last.age() < _VALID_FOR:
            return self._threads
        workers = self._workers()
        times = _CpuTimes.now(workers)
        left = len(_processors()) - times.taken_by_others(self._last) + _SLACK
        free = min(cores(), left)
        self._last, self._threads = times, max(1, int(free) // max(1, len(workers)))
        return self._threads

    def _workers(self) -> list[int]:
        """Processes of the workers that are alive; the files of those that are gone go too."""
        alive = []
        for file in self._register.iterdir():
            if file.name.isdigit() and psutil.pid_exists(int(file.name)):
                alive.append(int(file.name))
            else:
                file.unlink(missing_ok=True)
        return alive


@dataclass(frozen=True)
class _CpuTimes:
    """CPU time in seconds that has been used so far: on the processors that this process may run
    on by all, and by each process of searches."""

    when: float
    busy: float
    ours: dict[int, float]

    @classmethod
    def now(cls, workers: list[int]) -> "_CpuTimes":
        allowed, counted = _processors(), psutil.cpu_times(percpu=True)
        if max(allowed) < len(counted):  # Otherwise some are switched off or hidden.
            counted = [counted[number] for number in allowed]
        busy = sum(t.user + t.system + getattr(t, "nice", 0.0) for t in counted)
        # What surrounds a worker, such as a dashboard that is starting, has its bursts.
        family = {p.pid for p in psutil.Process(os.getppid()).children(recursive=True)}
        pids = {*workers, *family, os.getppid()}
        used = {pid: seconds for pid in pids if (seconds := _used(pid)) is not None}
        return cls(time.monotonic(), busy, used)

    def age(self) -> float:
        """Seconds since."""
        return time.monotonic() - self.when

    def taken_by_others(self, last: "_CpuTimes") -> float:
        """Cores that others kept busy since the last measurement."""
        ours = sum(used - last.ours.get(pid, 0.0) for pid, used in self.ours.items())
        return max(0.0, self.busy - last.busy - ours) / (self.when - last.when)


def _used(pid: int) -> float | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:  # Gone by now, or not ours to look at.
        return None
    return times.user + times.system
