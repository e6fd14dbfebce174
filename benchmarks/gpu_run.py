"""Running a part of `benchmarks.gpu_check` as a process, which ends with all it started."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu_part import ROOT
from benchmarks.gpu_report import Outcome, outcome_of


def run_part(name: str, command: list[str], limit: float, work: Path) -> Outcome:
    """How a part ended.

    Args:
        name: Of the part.
        command: What makes a process of it.
        limit: Seconds after which it is stopped.
        work: Folder to write in.
    """
    out, err = work / f"{name}.out", work / f"{name}.err"
    started = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        code = _limited(command, limit, _environment(work), (stdout.fileno(), stderr.fileno()))
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
    return outcome_of(name, code, time.monotonic() - started, *texts)


def _limited(
    command: list[str], limit: float, environment: dict[str, str], outputs: tuple[int, int]
) -> int | None:
    """The exit code of a command, or None if it had to be stopped."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=outputs[0], stderr=outputs[1],
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Also what it may have started and left behind: the next part shall have the GPU alone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(work: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Caches of our own, so that every compilation is the first one.
    caches = {
        f"{name}_CACHE_DIR": str(work / name.lower()) for name in ("TORCHINDUCTOR", "TRITON")
    }
    return {**os.environ, **caches, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
