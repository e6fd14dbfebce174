"""Whether a search notices that its notes are kept, and that its dashboard is read at full speed.

Searches with the stand-in training of `search_overhead`, each with several worker processes: with
nobody looking, with the notes kept as a session keeps them, and with a client besides that asks
the dashboard's server for the whole study every second, or again and again; at last, again and
again for another study, which takes as much of the processor. They take turns.
`python -m benchmarks.dashboard_load` prints a table.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Event

from benchmarks.machine import head
from benchmarks.search_overhead import overheads, stand_in_plan
from search.display.dashboard import Watch, dashboard
from search.display.progress import EventLog
from studies.study import Place, find
from studies.trials import trial_records


@dataclass(frozen=True)
class Variant:
    """How a search is looked at.

    Attributes:
        name: In words.
        notes: Whether its notes are kept.
        pause: Seconds of the client between two requests; None = no client.
        elsewhere: Whether the client's dashboard serves another database: what is lost then is
            the processor's, and not the database's.
    """

    name: str
    notes: bool = True
    pause: float | None = None
    elsewhere: bool = False


_VARIANTS = (
    Variant("nobody looks", notes=False),
    Variant("notes kept"),
    Variant("dashboard read every second", pause=1.0),
    Variant("dashboard at full speed", pause=0.0),
    Variant("at full speed, but of another database", pause=0.0, elsewhere=True),
)


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Attributes:
        seconds: Per worker, of every trial in order, beside the training.
        failed: Trials that failed.
        complaints: What was said about notes that could not be written.
        requests: Seconds until each of the client's requests was answered.
    """

    seconds: list[list[float]]
    failed: int
    complaints: list[str]
    requests: list[float]


def main() -> None:
    """Run the searches and print the table."""
    args = _arguments()
    found: dict[str, list[Search]] = {variant.name: [] for variant in _VARIANTS}
    with tempfile.TemporaryDirectory() as root:
        for turn in range(args.rounds):
            for variant in _VARIANTS:
                folder = Path(root) / f"{turn}-{variant.name}"
                found[variant.name].append(_search(args, variant, folder))
    print(head())
    print(
        f"search: {args.trials} trials, {args.epochs} epochs of {1000 * args.epoch_seconds:.0f} "
        f"ms by a stand-in, sampler tpe, pruner median, SQLite, {args.workers} workers, "
        f"n = {args.rounds} searches each, taking turns"
    )
    for name, searches in found.items():
        print("\n".join(_lines(name, searches)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--epoch-seconds", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _search(args: argparse.Namespace, variant: Variant, folder: Path) -> Search:
    context = multiprocessing.get_context("spawn")
    plan = stand_in_plan(folder, args.trials, args.epochs)
    served = _full(args, folder / "other") if variant.elsewhere else plan.place
    complaints: list[str] = []
    with ExitStack() as stack:
        url = stack.enter_context(dashboard(served, wanted=variant.pause is not None))
        stop = stack.enter_context(context.Manager()).Event()
        pool = stack.enter_context(ProcessPoolExecutor(args.workers + 1, context))
        stack.callback(stop.set)
        client = pool.submit(_read, url, variant.pause, stop) if url else None
        workers = [pool.submit(overheads, plan, args.epoch_seconds) for _ in range(args.workers)]
        study = find(plan.place)
        watch = Watch(plan, study, EventLog(plan.folder), complaints.append)
        _wait(workers, watch if variant.notes else None)
        stop.set()
        return Search(
            seconds=[worker.result() for worker in workers],
            failed=sum(record.state == "failed" for record in trial_records(study)),
            complaints=complaints,
            requests=client.result() if client else [],
        )


def _full(args: argparse.Namespace, folder: Path) -> Place:
    """A study with all its trials and notes."""
    plan = stand_in_plan(folder, args.trials, args.epochs)
    overheads(plan, 0.0)
    Watch(plan, find(plan.place), EventLog(folder), print).end(None)
    return plan.place


def _wait(workers: Sequence["Future[list[float]]"], watch: Watch | None) -> None:
    """As a session does, look around five times a second."""
    while not all(worker.done() for worker in workers):
        if watch is not None:
            watch.update()
        time.sleep(0.2)


def _read(base: str, pause: float | None, stop: Event) -> list[float]:
    """Ask for the whole study again and again; a request that fails ends the benchmark."""
    with urllib.request.urlopen(f"{base}api/studies", timeout=60) as response:
        number = json.load(response)["study_summaries"][0]["study_id"]
    answered = []
    while not stop.wait(pause):
        started = time.perf_counter()
        with urllib.request.urlopen(f"{base}api/studies/{number}", timeout=60) as response:
            response.read()
        answered.append(time.perf_counter() - started)
    return answered


def _lines(name: str, searches: Sequence[Search]) -> Iterator[str]:
    workers = [worker for search in searches for worker in search.seconds]
    seconds = list(chain(*workers))
    medians = ", ".join(f"{statistics.median(chain(*s.seconds)):.3f}" for s in searches)
    tail = statistics.quantiles(seconds, n=20)[-1]
    yield (
        f"{name}: {statistics.median(seconds):.3f} s per trial beside the training (median of "
        f"{len(seconds)} trials; of each search {medians}; 95 % below {tail:.3f})"
    )
    first = statistics.median(chain(*(worker[: len(worker) // 10] for worker in workers)))
    last = statistics.median(chain(*(worker[-len(worker) // 10 :] for worker in workers)))
    failed = sum(search.failed for search in searches)
    complaints = sum(len(search.complaints) for search in searches)
    yield (
        f"    first tenth of the trials {first:.3f} s, last tenth {last:.3f} s; {failed} trials "
        f"failed, {complaints} complaints about notes"
    )
    requests = [request for search in searches for request in search.requests]
    if requests:
        yield (
            f"    {len(requests)} requests for the whole study, none failed, answered in "
            f"{statistics.median(requests):.3f} s (median), {max(requests):.3f} s at most"
        )


if __name__ == "__main__":
    main()
