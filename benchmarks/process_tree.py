"""Running a command while watching how much memory it and all its descendants take."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[1]

_INTERVAL = 0.5
"""Seconds between two looks, at least."""

_SHARE = 0.02
"""Share of a core that looking may take: the kernel walks through all pages of all processes, and
many of them are looked at less often, so that nobody is slowed down by being watched."""


@dataclass(frozen=True)
class Watched:
    """A command that ran.

    Attributes:
        started: In seconds since 1970.
        seconds: How long it ran.
        memory: When (in seconds since 1970) and how much (in bytes), twice a second or less.
    """

    started: float
    seconds: float
    memory: tuple[tuple[float, int], ...]

    def peak(self, until: float = float("inf")) -> int:
        """The most bytes at any moment until then."""
        return max((held for moment, held in self.memory if moment <= until), default=0)


def watch(command: list[str]) -> Watched:
    """Run a command in the project's folder; what it prints goes to stderr.

    Raises:
        RuntimeError: In one sentence, if it fails.
    """
    started, memory = time.time(), []
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Whoever reads a benchmark did not agree to be counted by others.
    environment = {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=sys.stderr) as process:
        while process.poll() is None:
            memory.append((time.time(), _held(process.pid)))
            looking = time.time() - memory[-1][0]
            _wait(process, max(_INTERVAL, looking / _SHARE))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Watched(started, time.time() - started, tuple(memory))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait so long, or until it ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _held(pid: int) -> int:
    """Bytes of a process and all its descendants, shared pages shared out among their holders."""
    try:
        parent = psutil.Process(pid)
        return sum(_share(process) for process in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    # It ended since it was listed.
    except (psutil.NoSuchProcess, ProcessLookupError):
        return 0
