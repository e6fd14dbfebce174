"""Where a search's time goes until its first training: a timeline of real searches.

    python -m benchmarks.startup [--dataset FOLDER] [--recipe cpu] [--repeats 3]

Every search is a process of its own with a study of its own, and ends where its first trial
begins. The first one finds no decoded images; the others find the cache, which is what counts.
Stages follow each other in the session's process; what a worker does meanwhile, such as importing
torch, shows where the session waits for it. Processor time is that of all processes together: on
a busy machine, it says more than the clock does.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import psutil

# Nothing heavy: the workers import this module as they would that of the command.
from search.config import load_search_config

_TASKS = {
    "CheckNetworks": "settle the plan, check its networks",
    "PlaceImages": "make the study, load the images",
    "MeasureSpeed": "measure the speed",
}
Stages = dict[str, list[float]]
"""Seconds by the clock, and of all processors, by what they were spent on."""


def main() -> None:
    """Run the searches and print the timeline, or be one of them."""
    options = _options()
    if options.search is not None:
        _one(options)
        return
    from benchmarks.measure import head

    with tempfile.TemporaryDirectory() as folder:
        searches = [_apart(options, folder, number) for number in range(options.repeats + 1)]
    first, *later = searches
    print(f"{head()}\ndata: {options.dataset}, recipe {options.recipe}; seconds (of processors)\n")
    print(
        f"| stage | first search | with a cache, median of {len(later)} |\n| --- | ---: | ---: |"
    )
    for stage, taken in first.items():
        print(_row(stage, taken, [search[stage] for search in later]))
    whole = [[sum(column) for column in zip(*search.values(), strict=True)] for search in searches]
    print(_row("until the first training", whole[0], whole[1:]))


def _row(stage: str, first: list[float], later: list[list[float]]) -> str:
    columns = (first, [statistics.median(column) for column in zip(*later, strict=True)])
    cells = " | ".join(f"{clock:.2f} ({processors:.2f})" for clock, processors in columns)
    return f"| {stage} | {cells} |"


def _apart(options: argparse.Namespace, folder: str, number: int) -> Stages:
    command = [sys.executable, "-m", "benchmarks.startup", "--search", folder]
    command += ["--dataset", options.dataset, "--recipe", options.recipe]
    command += ["--study", f"study-{number}", "--started", str(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    stages: Stages = json.loads(done.stdout.splitlines()[-1])
    return stages


class _Timeline:
    """The stages of one search, each from the end of the one before it."""

    def __init__(self, started: float) -> None:
        self.stages: Stages = {}
        self._process, self._last = psutil.Process(), (started, 0.0)

    def end(self, stage: str) -> None:
        """This is what was done since the last call."""
        now = time.time(), self._processors()
        self.stages[stage] = [
            after - before for after, before in zip(now, self._last, strict=True)
        ]
        self._last = now

    def _processors(self) -> float:
        """Seconds so far, of this process and of those that it has started."""
        alive = [self._process, *self._process.children(recursive=True)]
        times = [process.cpu_times() for process in alive]
        own = sum(t.user + t.system for t in times)
        return float(own + times[0].children_user + times[0].children_system)

    def after(self, owner: Any, name: str, stage: Callable[..., str | None]) -> Any:
        """A patch that ends a stage, which its arguments name, after every call of a function."""
        function = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            if (found := stage(*arguments)) is not None:
                self.end(found)
            return result

        return patch.object(owner, name, call)


def _one(options: argparse.Namespace) -> None:
    """Search until the first trial begins, and print the timeline."""
    timeline = _Timeline(options.started)
    timeline.end("start Python, read the command line")
    flags = {"data.dataset": options.dataset, "data.root": f"{options.search}/data"}
    flags |= {"recipe": options.recipe, "runs": f"{options.search}/runs"}
    settings = load_search_config(None, {**flags, "study.name": options.study})
    from search import session
    from search.display.progress import Display
    from search.workers.events import Began
    from search.workers.pool import WorkerPool

    class UntilTheFirst(Display):
        """Ends the search where its first trial begins."""

        def event(self, worker: int, event: object) -> None:
            if isinstance(event, Began):
                timeline.end("claim the first trial")
                raise KeyboardInterrupt

    timeline.end("import Optuna and the rest")
    with ExitStack() as patched:
        for patch_ in (
            timeline.after(session, "prepare_apart", lambda *_: "find or decode the images"),
            timeline.after(session, "look_around", lambda *_: "wait for the worker's imports"),
            timeline.after(WorkerPool, "call", lambda _, task: _TASKS.get(type(task).__name__)),
        ):
            patched.enter_context(patch_)
        try:
            session.run_search(settings, UntilTheFirst())
        except KeyboardInterrupt:
            print(json.dumps(timeline.stages))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="digits", help="a data set or a folder [digits]")
    parser.add_argument("--recipe", default="cpu", help="[cpu]")
    parser.add_argument("--repeats", type=int, default=3, help="searches with a cache [3]")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    parser.add_argument("--study", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
