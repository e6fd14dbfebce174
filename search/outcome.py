"""The last lines of a search: what it found, and what to do next."""

from collections.abc import Iterator

from search.card import figures
from search.result import SearchResult


def report(result: SearchResult) -> Iterator[str]:
    """What a search came to, a line per figure."""
    counts, metrics = result.counts, result.metrics
    if metrics is None:
        if result.interrupted is not None:
            yield (
                f"stopped with {counts.done} of {counts.total} trials done; nothing is lost, run "
                f"the same command again to go on"
            )
            yield (
                f"python -m search.finalize --study {result.study} confirms, tests and exports "
                f"what is there"
            )
        return
    yield f"study '{result.study}' is complete with {counts.done} trials"
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics["params"].items()
    )
    yield f"winner: trial {metrics['trial']}: {values}"
    for name, value in figures(metrics):
        yield f"{name}: {value}"
    yield f"exported to {result.folder / 'best'}"
