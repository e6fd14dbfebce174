"""How a search shows itself: a live display on a terminal, plain lines elsewhere, or nothing."""

import sys
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from records.outcome import Cause
from search.display.counts import Counts
from search.display.log import in_words
from search.workers.events import Began, Ended, EpochEnded, Event


class Display(Protocol):
    """What a session tells people."""

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def event(self, worker: int, event: Event) -> None:
        """What a worker told."""
        ...

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Where the study stands."""
        ...

    def close(self) -> None:
        """The end."""
        ...


class Silent:
    """Shows nothing: for calls from Python."""

    def say(self, line: str) -> None:
        """Nothing."""

    def event(self, worker: int, event: Event) -> None:
        """Nothing."""

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainLines:
    """One line per training that ends: for logs, pipes and CI."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._counts: Counts | None = None

    def say(self, line: str) -> None:
        """Print the line."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def event(self, worker: int, event: Event) -> None:
        """Print how trainings ended, and what went wrong."""
        if not isinstance(event, Began | EpochEnded):
            done = f"[{self._counts.done}/{self._counts.total}] " if self._counts else ""
            self.say(f"{done}{in_words(event)}")

    def counts(self, counts: Counts, seconds_left: float | None) -> None:
        """Print a new best trial."""
        old = self._counts.best if self._counts else None
        self._counts = counts
        if counts.best is not None and (old is None or old.number != counts.best.number):
            self.say(f"[{counts.done}/{counts.total}] best so far: {best_in_words(counts)}")

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class _Running:
    began: Began
    last: EpochEnded | None = None


class LiveDisplay:
    """A table of the running trainings under the counts and a bar, redrawn in place."""

    def __init__(self, console: Console) -> None:
        """Draw nothing before there is something to show."""
        self._console = console
        self._counts: Counts | None = None
        self._left: float | None = None
        self._running: dict[int, _Running] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def say(self, line: str) -> None:
        """Print above the display."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def event(self, worker: int, event: Event) -> None:
        """Follow the running trainings; print what went wrong."""
        match event:
            case Began():
                self._running[worker] = _Running(event)
            case EpochEnded() if worker in self._running:
                self._running[worker].last = event
            case Ended():
                self._running.pop(worker, None)
                if event.outcome.cause not in (None, Cause.RULE):
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
        self._live.update(self._drawn())
        self._live.start()

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._counts is not None:
            parts += [_headline(self._counts, self._left)]
            parts += [ProgressBar(self._counts.total, self._counts.done, width=60)]
            parts += [Text(f"best so far: {best_in_words(self._counts)}")]
        return Group(*parts, self._table())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("worker", "running", "epoch", "accuracy", "images/s", "configuration"):
            table.add_column(
                name, justify="left" if name in ("running", "configuration") else "right"
            )
        for worker, running in sorted(self._running.items()):
            last, began = running.last, running.began
            table.add_row(
                str(worker),
                began.job,
                f"{last.epoch if last else 0}/{began.epochs}",
                f"{last.accuracy:.2%}" if last and last.accuracy is not None else "-",
                f"{last.images_per_second:,.0f}" if last else "-",
                began.description,
            )
        return table


def new_display() -> LiveDisplay | PlainLines:
    """What fits where stdout goes."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else PlainLines()


def best_in_words(counts: Counts) -> str:
    """The best trial with its parameters."""
    if counts.best is None or counts.best.accuracy is None:
        return "no complete trial yet"
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in counts.best.params.items()
    )
    return f"{counts.best.accuracy:.2%} (trial {counts.best.number}: {values})"


def duration(seconds: float) -> str:
    """A time for people: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _headline(counts: Counts, left: float | None) -> Text:
    ends = "" if left is None else f", about {duration(left)} left"
    return Text(
        f"{counts.done} of {counts.total} trials: {counts.complete} complete, {counts.pruned} "
        f"pruned, {counts.failed} failed, {counts.running} running{ends}"
    )
