"""What a search came to: as a value, as the last lines, and as the exit code of a command."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from records.command_line import complain, say, user_mistakes
from records.files import full_disk_in_words, is_full_disk
from records.metrics import Metrics, figures
from records.words import values
from search.display.summary import Counts
from search.workers.pool import TaskFailed, WorkerDied
from studies.storage import shown
from studies.study import Place


@dataclass(frozen=True)
class SearchResult:
    """What a search came to."""

    place: Place
    counts: Counts
    interrupted: int | None
    """Number of the signal that ended it early; None = none."""

    metrics: Metrics | None
    """Those of the exported model; None if there is no export (yet)."""

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.place.name

    @property
    def folder(self) -> Path:
        """The study's folder; an export is in `best/` below it."""
        return self.place.folder

    @property
    def exit_code(self) -> int:
        """0 with an export, 1 without one, 128 and the signal's number after an interrupt."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return 0 if self.metrics is not None else 1


def conclude(search: Callable[[], SearchResult]) -> int:
    """Do it, and say what it came to, or in one line why it came to nothing."""
    try:
        with user_mistakes():
            result = search()
    except KeyboardInterrupt:
        complain("stopped; nothing is lost, run the same command again to go on")
        return 130
    except (TaskFailed, WorkerDied) as error:
        complain(str(error))
        return 1
    except Exception as error:
        if not is_full_disk(error):
            raise
        complain(full_disk_in_words(error))
        return 1
    for line in last_lines(result):
        say(line)
    return result.exit_code


def last_lines(result: SearchResult) -> Iterator[str]:
    """What a search came to, a line per figure."""
    counts, metrics = result.counts, result.metrics
    if metrics is None:
        if result.interrupted is not None:
            yield (
                f"stopped with {counts.done} of {counts.total} trials done; nothing is lost, run "
                f"the same command again to go on"
            )
            finalize = command("search.finalize", result.place)
            yield f"{finalize} confirms, tests and exports what is there"
        return
    if counts.done >= counts.total:
        yield f"study '{result.study}' is complete with {counts.done} trials"
    else:
        yield f"study '{result.study}' has {counts.done} of {counts.total} trials"
    yield f"winner: trial {metrics.trial}: {values(metrics.params)}"
    for name, value in figures(metrics):
        yield f"{name}: {value}"
    yield f"exported to {result.folder / 'best'}"


def command(module: str, place: Place) -> str:
    """A command, with the flags that it needs to find the study."""
    runs, storage = place.folder.parent, place.storage
    words = [f"python -m {module} --study", place.name]
    words += [] if str(runs) == "runs" else ["--runs", shlex.quote(str(runs))]
    words += [] if storage is None else ["--storage", shlex.quote(shown(storage))]
    return " ".join(words)
