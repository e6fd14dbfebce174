"""How a search shows what happens: a live display, plain lines or nothing, and `search.log`."""

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from records.command_line import LastingOutput
from records.outcome import Cause, State
from records.words import count as number
from records.words import duration, percent
from search.display.summary import Counts, score_in_words
from search.workers.events import (
    Began,
    Ended,
    EpochEnded,
    Event,
    Progressed,
    Warned,
    WorkerHung,
    WorkerLost,
)


class Display:
    """What a session tells people. This one shows nothing: for calls from Python.

    Attributes:
        trouble: Why nobody can see it any more, in words; None = all is well.
    """

    trouble: str | None = None

    def say(self, line: str) -> None:
        """A line that stays."""

    def event(self, worker: int, event: Event) -> None:
        """What a worker told."""

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Where the study stands."""

    def close(self) -> None:
        """The end."""


class PlainLines(Display):
    """One line per training that ends: for logs, pipes and CI."""

    def __init__(self, output: LastingOutput | None = None) -> None:
        self._output = output or LastingOutput(sys.stdout)
        self._counts: Counts | None = None
        self._quarter = 0  # Of what is no training: how much of it was told.

    def say(self, line: str) -> None:
        """Print the line."""
        self._output.write(f"{line}\n")
        self._output.flush()
        self.trouble = self._output.trouble

    def event(self, worker: int, event: Event) -> None:
        """Print how trainings ended, and what went wrong."""
        if isinstance(event, Progressed):
            quarter = 4 * event.done // max(1, event.total)
            if quarter != self._quarter:
                self._quarter = quarter
                self.say(in_words(event))
        elif not isinstance(event, Began | EpochEnded):
            done = f"{_place(self._counts)} " if self._counts else ""
            self.say(f"{done}{in_words(event)}")

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Print a new best trial."""
        old = self._counts.best if self._counts else None
        self._counts = counts
        if counts.best is not None and (old is None or old.number != counts.best.number):
            self.say(f"{_place(counts)} best so far: {counts.best_so_far()}")


class LiveDisplay(Display):
    """A table of the running trainings under the counts and a bar, redrawn in place."""

    def __init__(self, output: LastingOutput, **options: Any) -> None:
        self._output = output
        self._console = console = Console(file=cast("TextIO", output), **options)
        self._counts: Counts | None = None
        self._left: float | None = None
        self._running: dict[int, tuple[Began, EpochEnded | None]] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def say(self, line: str) -> None:
        """Print above the display."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def event(self, worker: int, event: Event) -> None:
        """Follow the running trainings; print what went wrong."""
        match event:
            case Began():
                self._running[worker] = event, None
            case EpochEnded() if worker in self._running:
                self._running[worker] = self._running[worker][0], event
            case Progressed(job, done, total, rate):
                self._running[worker] = (
                    Began(job, "", total),
                    EpochEnded(job, done, None, rate or 0.0),
                )
                if done == total:
                    self._running.pop(worker)
            case Ended():
                self._running.pop(worker, None)
                expected = event.outcome.cause in (None, Cause.RULE, Cause.PAUSED)
                if event.outcome.state == State.FAILED or not expected:
                    self.say(in_words(event))
            case _:
                self.say(in_words(event))
        self._draw()

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Redraw the counts."""
        self._counts, self._left = counts, seconds_left
        self._draw()

    def close(self) -> None:
        """Take the display away."""
        self._live.stop()

    def _draw(self) -> None:
        parts: list[RenderableType] = []
        if (counts := self._counts) is not None:
            left = "" if self._left is None else f", about {duration(self._left)} left"
            parts = [
                Text(f"{counts.of_total()}: {counts.by_state()}{left}"),
                ProgressBar(counts.total, counts.done, width=60),
                Text(f"best so far: {counts.best_so_far()}"),
            ]
        self._live.update(Group(*parts, self._table()))
        self._live.start()
        self.trouble = self._output.trouble

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("worker", "running", "epoch", "accuracy", "images/s", "configuration"):
            words = name in ("running", "configuration")
            table.add_column(name, justify="left" if words else "right")
        for worker, (began, last) in sorted(self._running.items()):
            table.add_row(
                str(worker),
                began.job,
                f"{last.epoch if last else 0}/{began.epochs}",
                percent(last.accuracy if last else None),
                number(last.images_per_second if last else None),
                began.description,
            )
        return table


def _place(counts: Counts) -> str:
    """Where a study stands, in brackets."""
    return f"[{counts.done}]" if counts.total is None else f"[{counts.done}/{counts.total}]"


def new_display(output: LastingOutput) -> Display:
    """What fits where the output goes."""
    terminal = Console(file=cast("TextIO", output)).is_terminal
    return LiveDisplay(output) if terminal else PlainLines(output)


class EventLog:
    """Every event with its local time, in a file; a full disk loses lines, no search.

    The study's folder is made if need be; an earlier log is continued.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "search.log"

    def write(self, line: str) -> None:
        """Append a line, or several."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        # The name of a file can hold what no encoding has.
        content = f"{now} {line}\n".encode(errors="backslashreplace")
        with suppress(OSError), self.path.open("ab") as file:
            file.write(content)

    def event(self, worker: int, event: Event) -> None:
        """Append what a worker told."""
        self.write(f"worker {worker}: {in_words(event)}")
        if isinstance(event, Ended) and event.outcome.details:
            self.write(event.outcome.details.rstrip())


def in_words(event: Event) -> str:
    """One line about an event."""
    match event:
        case Began():
            return f"{event.job} begins: {event.description}"
        case EpochEnded():
            accuracy = "" if event.accuracy is None else f", validation {event.accuracy:.2%}"
            speed = f"{number(event.images_per_second)} images/s"
            return f"{event.job} epoch {event.epoch}{accuracy}, {speed}"
        case Progressed(job, done, total, rate):
            pace = "" if rate is None else f", {number(rate)} images/s"
            return f"{job}: {number(done)} of {number(total)} images{pace}"
        case Ended(job, outcome):
            result = score_in_words(outcome.score, outcome.fold_scores)
            accuracy = "" if outcome.score is None else f" at {result}"
            reason = f" ({outcome.reason})" if outcome.reason else ""
            return f"{job} {outcome.state}{accuracy}{reason}"
        case WorkerLost() | WorkerHung() | Warned():
            return event.message
