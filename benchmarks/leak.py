"""Memory of a search after many trials against that after few: shapes recur, so it must not grow.

    python -m benchmarks.leak [--trials 110] [--dataset digits]

A real search with one worker, in processes of their own. After every trial the memory of the
worker and of the parent that belongs to them alone is read (USS). The shapes are those of a
default space with two depths and one batch size, so that an engine for each of them is there after
the first few trials.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import psutil

from benchmarks.measure import head
from search.config import SearchConfig
from search.display.progress import Display
from search.session import run_search
from search.workers.events import Ended, Event


class MemoryDisplay(Display):
    """Reads the memory of worker and parent, in MiB, whenever a trial ends."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.worker: list[float] = []
        self.parent: list[float] = []

    def event(self, worker: int, event: Event) -> None:
        """Read, if a trial has ended."""
        if isinstance(event, Ended) and event.job.startswith("trial"):
            me = psutil.Process()
            self.parent.append(_own(me))
            self.worker.append(max(map(_own, me.children())))
            print(f"{event.job}: {self.worker[-1]:.1f} MiB, {self.parent[-1]:.1f}", flush=True)


def main() -> None:
    """Search, read and compare."""
    options = _options()
    display = MemoryDisplay()
    with tempfile.TemporaryDirectory() as folder:
        result = run_search(_config(Path(folder), options), display)
    trials = f"{result.counts.complete} trials complete, {result.counts.pruned} pruned"
    print(f"\n{head()}\nsearch: {trials}, 1 worker, median pruning, n = 1")
    for name, held in (("worker", display.worker), ("parent", display.parent)):
        # Medians of ten trials.
        early, late = statistics.median(held[5:15]), statistics.median(held[-10:])
        print(
            f"{name}: {early:.1f} MiB around trial 10, {late:.1f} at the end: {late / early:.3f}"
        )


def _own(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / 2**20


def _config(folder: Path, options: argparse.Namespace) -> SearchConfig:
    values = {
        "trials": options.trials,
        "runs": str(folder / "runs"),
        "recipe": "cpu",
        "data": {"dataset": options.dataset, "root": str(folder / "data")},
        "training": {"epochs": 3},
        "space": {
            "fixed": ["batch_size"],
            "parameters": {"depth": {"type": "int", "low": 1, "high": 2}},
        },
        "study": {"name": "leak"},
        "workers": {"checkpoint_every": 0.0},
        "confirm": {"top": 1, "seeds": 1},
    }
    return SearchConfig.model_validate(values)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=110)
    parser.add_argument("--dataset", default="digits", help="a data set or a folder [digits]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
