"""This process and its machine: cores, memory, versions, and an end when the parent is gone."""

import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

_PACKAGES = ("convsearch", "torch", "optuna", "numpy")


def cores() -> int:
    """CPU cores that this process may use, by its affinity and by its container's quota."""
    from joblib import cpu_count

    return int(cpu_count())


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, its container and its own limits.

    What the system keeps of files counts as free, as it is given back when it is asked for.
    """
    import psutil

    groups = ""
    with suppress(OSError):  # Only Linux has them.
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    left = [*left_in_groups(groups, Path("/sys/fs/cgroup")), *_left_of_own()]
    return max(0, min(psutil.virtual_memory().available, *left))


def left_in_groups(groups: str, mounted: Path) -> Iterator[int]:
    """What the memory groups that a process is in, and those around them, still allow, in bytes.

    Args:
        groups: What Linux says in `/proc/self/cgroup`.
        mounted: Where the groups are, of version 1 or 2.
    """
    for line in groups.splitlines():
        _, controllers, own = line.split(":", 2)
        first = "memory" in controllers.split(",")
        if controllers and not first:
            continue
        names = ("limit_in_bytes", "usage_in_bytes") if first else ("max", "current")
        top = mounted / "memory" if first else mounted
        folder = top / own.lstrip("/")
        # Inside a container, its own group is the top, whatever it is called outside.
        for group in {top, folder, *folder.parents} - {*top.parents}:
            with suppress(OSError, ValueError):  # Not there, or "max".
                most, used = (int((group / f"memory.{name}").read_text()) for name in names)
                stat = (group / "memory.stat").read_text()
                files = rf"^{'total_' if first else ''}(?:in)?active_file (\d+)$"
                yield most - used + sum(map(int, re.findall(files, stat, re.MULTILINE)))


def _left_of_own() -> Iterator[int]:
    """What the limits on this process still allow."""
    import psutil

    with suppress(ImportError):  # Not on Windows.
        import resource

        held = psutil.Process().memory_info()
        for limit, name in ((resource.RLIMIT_AS, "vms"), (resource.RLIMIT_DATA, "data")):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY and hasattr(held, name):
                yield most - getattr(held, name)


def versions() -> dict[str, str]:
    """What results depend on: package -> its version, and Python's."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def die_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however that went."""
    parent = parent_process()
    assert parent is not None

    def wait_and_exit() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Run from its folder, without `pip install`.
        return "not installed"
