"""How much memory is free; apart from the rest, as it needs psutil, which serving does not."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, its container and its own limits.

    What the system keeps of files counts as free, as it is given back when it is asked for.
    """
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
    with suppress(ImportError):  # Not on Windows.
        import resource

        held = psutil.Process().memory_info()
        for limit, name in ((resource.RLIMIT_AS, "vms"), (resource.RLIMIT_DATA, "data")):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY and hasattr(held, name):
                yield most - getattr(held, name)
