"""The cache of decoded images as a place: its keys, its stamps, and the lock around writing."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

BUILDING = "building-"
"""How the names of folders begin that are moved to their place once they are whole."""


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Keep other processes from building and downloading; what killed ones left is removed."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        text = f"waiting for another process that prepares data in '{cache}'"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        lock.acquire()
    try:
        for leftover in cache.glob(f"{BUILDING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def digest(value: object) -> str:
    """A key for any content that JSON can say: 20 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:20]


def remembered(stamp: Path) -> str | None:
    """The key in a stamp file, unless there is none or something else is in it."""
    try:
        text = stamp.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text if re.fullmatch("[0-9a-f]{20}", text) else None


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step, so that no kill and no reader finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
