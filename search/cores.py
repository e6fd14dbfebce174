"""Sharing the CPU's cores with all other workers on this machine, of this search or another.

Threads that wait for each other spin. With more of them than cores, each wait lasts until the
system happens to switch, and two trainings at once were seen to take fifty times as long as one.
"""

import getpass
import os
import tempfile
from pathlib import Path

import psutil


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CoreShare:
    """This worker's share, as others come and go.

    Args:
        fixed: A number of threads that the user chose; None = an even share.
        register: Folder in which every worker on this machine has a file named by its process.
    """

    def __init__(self, fixed: int | None, register: Path | None = None) -> None:
        """Sign in."""
        self._fixed = fixed
        self._register = (
            register or Path(tempfile.gettempdir()) / f"convsearch-{getpass.getuser()}"
        )
        if fixed is None:
            self._register.mkdir(mode=0o700, exist_ok=True)
            (self._register / str(os.getpid())).touch()

    def threads(self) -> int:
        """How many threads to compute with now."""
        if self._fixed is not None:
            return self._fixed
        return max(1, cores() // max(1, self._workers()))

    def _workers(self) -> int:
        """Workers that are alive; the files of those that are gone are removed."""
        alive = 0
        for file in self._register.iterdir():
            if file.name.isdigit() and psutil.pid_exists(int(file.name)):
                alive += 1
            else:
                file.unlink(missing_ok=True)
        return alive
