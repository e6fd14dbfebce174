"""What a search costs beside its trainings, and whether that grows with the number of trials.

    python -m benchmarks.search_overhead [--trials 1000] [--sampler tpe]

A stand-in takes the place of the training: it sleeps for a known time per epoch and returns a
made-up accuracy. Everything else is the search's own code, in one process: asking, sampling,
SQLite, reports, pruning, telling.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.measure import head, spread
from records.outcome import EpochRecord
from records.trial import TrialRecord
from search.config import SearchConfig
from search.plan import Plan, settle
from search.workers.events import Ended
from search.workers.interrupts import StopFlag
from search.workers.trial import RunTrials
from search.workers.worker import Slot, Worker
from studies.attributes import trial_records
from studies.study import find, make_or_resume
from train_core.config import TrainConfig
from train_core.data.prepare import prepare

_NEAR = 10
"""Trials on either side over which a figure is the median."""


def main() -> None:
    """Run the search and print the table."""
    args = _options()
    with tempfile.TemporaryDirectory() as folder:
        plan = stand_in_plan(Path(folder), args.trials, args.epochs, args.sampler)
        seconds = overheads(plan, args.epoch_seconds)
        records = trial_records(find(plan.place))
    print(head())
    print(
        f"search: {args.trials} trials, {args.epochs} epochs of {1000 * args.epoch_seconds:.0f} "
        f"ms by a stand-in, sampler {args.sampler}, pruner median, SQLite, 1 worker, n = 1 search"
    )
    print(_table(seconds, records))


def stand_in_plan(folder: Path, trials: int, epochs: int, sampler: str = "tpe") -> Plan:
    """The plan of a search in an empty folder, with its study made."""
    config = SearchConfig.model_validate(
        {
            "trials": trials,
            "runs": str(folder / "runs"),
            "data": {"dataset": "digits", "root": str(folder / "data")},
            "training": {"epochs": epochs},
            "study": {"name": "overhead", "sampler": sampler},
        }
    )
    plan = settle(config, prepare(config.data), "cpu")
    make_or_resume(plan.place, plan.purpose())
    return plan


def overheads(plan: Plan, epoch_seconds: float) -> list[float]:
    """Run trials until there are enough; seconds of each that were not in the stand-in."""
    found, spent = [], [0.0]

    def stand_in(config: TrainConfig, *_: object) -> Iterator[EpochRecord]:
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            time.sleep(epoch_seconds)
            spent[0] += time.perf_counter() - started
            yield _record(config, epoch)

    worker = Worker(Slot(0, 1, trains=True), StopFlag())
    with patch("train_core.fit.fit", stand_in):
        started = time.perf_counter()
        for event in RunTrials(plan, None).run(worker):
            if isinstance(event, Ended):
                now = time.perf_counter()
                found.append(now - started - spent[0])
                started, spent[0] = now, 0.0
    return found


def _record(config: TrainConfig, epoch: int) -> EpochRecord:
    """A curve whose end depends on the parameters, so that sampler and pruner have work."""
    quality = 0.9 - 0.1 * abs(config.augment - 0.3) - 0.2 * abs(config.dropout - 0.1)
    accuracy = quality * epoch / (epoch + 1) - 0.0001 * (config.seed % 100)
    values: dict[str, Any] = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "lr": 1.0}
    return EpochRecord(epoch=epoch, val_accuracy=accuracy, seconds=1.0, images=1, **values)


def _table(seconds: list[float], records: list[TrialRecord]) -> str:
    lines = ["trial    seconds beside the training, median of 20 trials    epochs reported"]
    for place in sorted({10, 30, 100, 300, len(seconds) - _NEAR}):
        if _NEAR <= place <= len(seconds) - _NEAR:
            around = slice(place - _NEAR, place + _NEAR)
            reports = statistics.mean(len(r.curve) for r in records[around])
            lines.append(f"{place:5d}    {spread(seconds[around], '.3f'):49}   {reports:.1f}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--trials", type=int, default=1000, help="of the search, 20 or more [1000]"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of each trial [6]")
    parser.add_argument("--epoch-seconds", type=float, default=0.01, help="of each epoch [0.01]")
    parser.add_argument("--sampler", default="tpe", help="[tpe]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
