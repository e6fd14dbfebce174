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
from multiprocessing.synchronize import Barrier

import torch

from benchmarks.measure import COUNT, head, spread, training_images
from records.machine import cores
from train_core.config import TrainConfig, load_recipe
from train_core.device import keep_freed_memory
from train_core.engine import EnginePool
from train_core.fit import measure_speed

_start_together: Barrier


def main() -> None:
    """Measure every split of the cores, and print a table."""
    options = _options()
    config = load_recipe(options.recipe)
    splits = [(n, max(1, cores() // n)) for n in (1, 2, 4, 8, 16) if n <= max(2, cores())]
    speeds: dict[tuple[int, int], list[float]] = {split: [] for split in splits}
    for turn in range(options.repeats):
        for split in splits:
            speeds[split].append(together(*split, config, options.seconds))
            done = f"{turn + 1}/{options.repeats} {split}: {speeds[split][-1]:,.0f}"
            print(done, file=sys.stderr)
    print(f"{head()}\ntraining: {config.describe()}, n = {options.repeats}\n")
    print("| workers x threads | images/s together, median and range | against the first |")
    print("| --- | --- | --- |")
    for (count, threads), values in speeds.items():
        ratios = [a / b for a, b in zip(values, speeds[splits[0]], strict=True)]
        print(f"| {count} x {threads} | {spread(values)} | {statistics.median(ratios):.2f} |")


def together(
    count: int, threads: int, config: TrainConfig, seconds: float, images: int = COUNT
) -> float:
    """Images per second of several processes together.

    Args:
        count: Processes, all on one device.
        threads: Of each on the CPU.
        config: What each of them trains.
        seconds: How long they are measured, after a warm-up of a tenth of it.
        images: Per epoch of noise.
    """
    context = multiprocessing.get_context("spawn")
    prepared = (context.Barrier(count), threads)
    with ProcessPoolExecutor(count, context, initializer=_prepare, initargs=prepared) as pool:
        each = (repeat(value, count) for value in (config, seconds, images))
        return sum(pool.map(_train, *each))


def _prepare(barrier: Barrier, threads: int) -> None:
    global _start_together
    _start_together = barrier
    keep_freed_memory()
    torch.set_num_threads(threads)


def _train(config: TrainConfig, seconds: float, images: int) -> float:
    engines = EnginePool(training_images(None, images))
    measure_speed(config, engines, seconds / 10)
    # Not for ever: another process may have died.
    _start_together.wait(120)
    return measure_speed(config, engines, seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", default="cpu", help="whose step [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each split [5]")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement [8]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
