"""How many workers, with how many threads each: images/s of trainings side by side.

    python -m benchmarks.workers [--recipe cpu] [--repeats 5] [--seconds 8]

All workers of a measurement begin together and train until the time is over; their speeds add up.
Splits take turns. On a GPU the threads make no difference, and the workers share the device.
"""

import argparse
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import torch

from benchmarks.images import training_images
from benchmarks.machine import head
from records.machine import cores
from train_core.config import RecipeName, load_recipe
from train_core.device import keep_freed_memory
from train_core.engine import EnginePool
from train_core.fit import measure_speed


def main() -> None:
    """Measure every split of the cores, and print a table."""
    options = _options()
    splits = [(n, max(1, cores() // n)) for n in (1, 2, 4, 8, 16) if n <= max(2, cores())]
    speeds: dict[tuple[int, int], list[float]] = {split: [] for split in splits}
    for turn in range(options.repeats):
        for split in splits:
            speeds[split].append(_together(*split, options))
            print(
                f"{turn + 1}/{options.repeats} {split}: {speeds[split][-1]:,.0f}", file=sys.stderr
            )
    print(f"{head()}\ntraining: {load_recipe(options.recipe).describe()}, n = {options.repeats}\n")
    print("| workers x threads | images/s together, median | spread | against the first |")
    print("| --- | --- | --- | --- |")
    for (count, threads), values in speeds.items():
        ratios = [a / b for a, b in zip(values, speeds[splits[0]], strict=True)]
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(
            f"| {count} x {threads} | {statistics.median(values):,.0f} | {spread} "
            f"| {statistics.median(ratios):.2f} |"
        )


def _together(count: int, threads: int, options: argparse.Namespace) -> float:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ProcessPoolExecutor(
        count, context, initializer=_prepare, initargs=(barrier, threads)
    ) as pool:
        jobs = pool.map(_train, repeat(options.recipe, count), repeat(options.seconds))
        return sum(jobs)


def _prepare(barrier: "multiprocessing.synchronize.Barrier", threads: int) -> None:
    global _start_together
    _start_together = barrier
    keep_freed_memory()
    torch.set_num_threads(threads)


def _train(recipe: RecipeName, seconds: float) -> float:
    config, engines = load_recipe(recipe), EnginePool(training_images(None))
    measure_speed(config, engines, 1.0)
    _start_together.wait()
    return measure_speed(config, engines, seconds)


_start_together: "multiprocessing.synchronize.Barrier"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", default="cpu", help="whose step [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each split [5]")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement [8]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
