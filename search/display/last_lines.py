"""The last lines of a search: what it found, and what to do next."""

import shlex
from collections.abc import Iterator

from search.display.result import SearchResult
from search.export.card import figures
from studies.storage import shown
from studies.study import Place


def report(result: SearchResult) -> Iterator[str]:
    """What a search came to, a line per figure."""
    counts, metrics = result.counts, result.metrics
    if metrics is None:
        if result.interrupted is not None:
            yield (
                f"stopped with {counts.done} of {counts.total} trials done; nothing is lost, run "
                f"the same command again to go on"
            )
            finalize = command("search.finalize.__main__", result.place)
            yield f"{finalize} confirms, tests and exports what is there"
        return
    if counts.done >= counts.total:
        yield f"study '{result.study}' is complete with {counts.done} trials"
    else:
        yield f"study '{result.study}' has {counts.done} of {counts.total} trials"
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics["params"].items()
    )
    yield f"winner: trial {metrics['trial']}: {values}"
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
