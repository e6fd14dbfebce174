"""Two real processes that prepare the same data at the same time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from train_core.data.config import DataConfig

CHILD = """
import json, os, sys
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
{setup}
print("ready", flush=True)
sys.stdin.readline()
prepared = prepare(DataConfig.model_validate_json(sys.argv[1]))
print(prepared.model_dump_json(), os.stat(prepared.folder).st_ino)
"""


@contextmanager
def started(config: DataConfig, setup: str = "", *arguments: str) -> Iterator[subprocess.Popen]:
    """A process that is about to prepare, and does so when a line is written to it."""
    command = [sys.executable, "-W", "error", "-c", CHILD.format(setup=setup)]
    command += [config.model_dump_json(), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            yield child
        finally:
            child.kill()


def go(child: subprocess.Popen) -> None:
    child.stdin.write("\n")
    child.stdin.flush()


def result(child: subprocess.Popen) -> str:
    """What a process prepared, and which folder (by its inode) it then found there."""
    out, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return out


def prepared_at_once(config: DataConfig, setup: str = "", *arguments: str) -> tuple[str, str]:
    with started(config, setup, *arguments) as one, started(config, setup, *arguments) as other:
        go(one)
        go(other)
        return result(one), result(other)
