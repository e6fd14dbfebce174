"""What a part of `benchmarks.gpu_check` is given and what it says; imports nothing heavy."""

import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]

REPEATS = 3
"""How often everything is measured at least."""


@dataclass(frozen=True)
class Setting:
    """What every part is told.

    Attributes:
        dataset: A data set, or a folder of images.
        work: Folder to write in, the same for all parts of one run.
        airbench: Folder of the peers' scripts; None = they are left out.
        smoke: Whether tiny sizes will do, to see that the code runs.
    """

    dataset: str
    work: Path
    airbench: Path | None = None
    smoke: bool = False


@dataclass(frozen=True)
class Row:
    """One quantity.

    Attributes:
        what: What was measured.
        unit: Of the values.
        values: One for every repeat; rows with the same `what` and `unit` are put together.
        more: What else belongs to it, by name.
    """

    what: str
    unit: str = ""
    values: tuple[float, ...] = ()
    more: Mapping[str, float | str] = field(default_factory=dict)

    def say(self) -> None:
        """Hand it to the parent process, which has it even if this process dies later."""
        print(json.dumps(asdict(self)), flush=True)


class NotHere(Exception):
    """Something that a part needs is not on this machine; the message says what, in one line."""


class CommandFailed(RuntimeError):
    """A command failed; the message is the last line that it wrote to stderr."""


@dataclass(frozen=True)
class Finished:
    """A command that succeeded: its stdout, and how long it took."""

    text: str
    seconds: float


def needs_cuda() -> None:
    """Say so where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise NotHere("needs a CUDA device")


def run_command(arguments: list[str], log: Path) -> Finished:
    """Run Python with these arguments in the project's folder; its stderr goes to a file.

    Raises:
        CommandFailed: If its exit code is not 0.
    """
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as errors:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    seconds = time.perf_counter() - started
    if done.returncode:
        written = log.read_text(encoding="utf-8", errors="replace")
        sys.stderr.write(written)
        raise CommandFailed(last_line(written) or f"exit code {done.returncode}")
    return Finished(done.stdout, seconds)


def attempt(what: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """What is measured, or one row that says how that failed; the part goes on."""
    try:
        return measure()
    # Torch's and CUDA's, and a training's own such as running out of memory.
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return [Row(what, more={"failed": f"{type(error).__name__}: {_first_line(error)}"})]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def last_line(text: str) -> str:
    """The last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def median(values: tuple[float, ...]) -> float:
    """Of at least one value."""
    return statistics.median(values)
