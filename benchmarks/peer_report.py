"""The figures of all contestants of `benchmarks.peers`, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.peer_job import Answer
from benchmarks.process_tree import Watched

_LABEL, _COLUMN = 52, 14


@dataclass(frozen=True)
class Entry:
    """A contestant, its answer, and what it took."""

    name: str
    answer: Answer
    watched: Watched

    @property
    def seconds(self) -> float:
        """From the start of the command to the end of the last trial."""
        return self.answer.ended - self.watched.started

    @property
    def per_epoch(self) -> float:
        """Seconds of the search per trained epoch."""
        return self.seconds / max(1, self.answer.epochs)

    def best_after(self, seconds: float) -> float | None:
        """The best validation accuracy so many seconds after the start."""
        return self.answer.best(self.watched.started + seconds)


_ROWS: Mapping[str, Callable[[Entry], str]] = {
    "search, until the last trial ended [s]": lambda e: f"{e.seconds:.1f}",
    "the whole command, with what follows the search [s]": lambda e: f"{e.watched.seconds:.1f}",
    "trials complete": lambda e: str(e.answer.count("complete")),
    "trials pruned": lambda e: str(e.answer.count("pruned")),
    "trials failed": lambda e: str(e.answer.count("failed")),
    "epochs trained": lambda e: str(e.answer.epochs),
    "seconds of the search per trained epoch": lambda e: f"{e.per_epoch:.2f}",
    "best validation accuracy": lambda e: _percent(e.answer.best()),
    "test accuracy": lambda e: _percent(e.answer.test),
    "peak memory in the search, all processes [MiB]": lambda e: _mebibytes(
        e.watched.peak(e.answer.ended)
    ),
    "peak memory of the whole command [MiB]": lambda e: _mebibytes(e.watched.peak()),
}


def report(entries: list[Entry]) -> str:
    """A table with a column for each contestant, and the ratios to the first one."""
    first, *others = entries
    lines = [f"{entry.name}: {entry.answer.description}" for entry in entries]
    lines.append(_line("", [entry.name for entry in entries]))
    lines += [_line(label, [cell(e) for e in entries]) for label, cell in _ROWS.items()]
    so_far = [_percent(e.best_after(first.seconds)) for e in entries]
    lines.append(_line(f"best validation accuracy after {first.seconds:.1f} s", so_far))
    return "\n".join(lines + [_ratio(first, other) for other in others])


def _ratio(first: Entry, other: Entry) -> str:
    whole, epoch = other.seconds / first.seconds, other.per_epoch / first.per_epoch
    return f"ratio {other.name} / {first.name}: {whole:.2f}, per trained epoch {epoch:.2f}"


def _line(label: str, cells: list[str]) -> str:
    return f"{label:{_LABEL}}" + "".join(f"{cell:>{_COLUMN}}" for cell in cells)


def _percent(share: float | None) -> str:
    return "none yet" if share is None else f"{share:.2%}"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f}"
