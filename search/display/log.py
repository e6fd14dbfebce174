"""`search.log`: every event of a search, with its time."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from search.workers.events import Began, Ended, EpochEnded, Event, Warned, WorkerLost


class EventLog:
    """Appends lines to a file, each with the local time; a full disk loses lines, no search."""

    def __init__(self, path: Path) -> None:
        """Make the folder if need be; an earlier log is continued."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, line: str) -> None:
        """Append a line, or several."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {line}\n")

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
            return (
                f"{event.job} epoch {event.epoch}{accuracy}, "
                f"{event.images_per_second:,.0f} images/s"
            )
        case Ended(job, outcome):
            accuracy = "" if outcome.accuracy is None else f" at {outcome.accuracy:.2%}"
            reason = f" ({outcome.reason})" if outcome.reason else ""
            return f"{job} {outcome.state}{accuracy}{reason}"
        case WorkerLost() | Warned():
            return event.message
