"""What a resolution curriculum costs and brings: images/s by size, accuracy by processor time.

    python -m benchmarks.curriculum [--dataset FOLDER] [--images 10000] [--seeds 3]

Recipe `cpu` with and without images that grow, for as many epochs, and for so many more that both
take about as long. All train with the same seeds and are scored on the validation part; the test
part stays closed. Time is that of the processor, on one thread, so that other programs on the
machine count for little.
"""

import argparse
import statistics
import sys
import time
from typing import NamedTuple

import torch

from benchmarks.measure import head, spread
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import Engine, EnginePool
from train_core.engine.curriculum import smaller_than
from train_core.fit import fit
from train_core.images import ImageData, load_training_data

_STEPS = 15
"""Of every measurement of the speed at one size."""


class Run(NamedTuple):
    """A training: its validation accuracy, and processor seconds of its steps and scores."""

    accuracy: float
    seconds: float


def main() -> None:
    """Measure, and print both tables."""
    options = _options()
    torch.set_num_threads(1)
    keep_freed_memory()
    config = DataConfig(dataset=options.dataset, train_size=options.images, root=options.root)
    data = load_training_data(prepare(config), config, pick_device())
    recipe = load_recipe("cpu").model_copy(update={"epochs": options.epochs})
    print(f"{head()}\nimages: {len(data.train):,} of {options.dataset}, one thread")
    print(f"training: {recipe.describe()}\n\n| side | images/s of processor time |")
    print("| --- | ---: |")
    for side, speeds in _speeds(recipe, data, options.seeds).items():
        print(f"| {side} | {spread(speeds)} |", flush=True)
    print(f"\n| curriculum, epochs | accuracy (n = {options.seeds}) | processor time |")
    print("| --- | ---: | ---: |")
    variants = [("none", options.epochs)]
    variants += [("progressive", epochs) for epochs in (options.epochs, options.longer)]
    # Seed by seed, so that all variants see the same moments of the machine.
    runs = [[_run(recipe, data, *v, seed) for v in variants] for seed in range(options.seeds)]
    for (kind, epochs), found in zip(variants, zip(*runs, strict=True), strict=True):
        accuracies = [100 * run.accuracy for run in found]
        shown = f"{statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f} %"
        print(f"| {kind}, {epochs} | {shown} | {spread([run.seconds for run in found])} s |")


def _speeds(recipe: TrainConfig, data: ImageData, repeats: int) -> dict[int, list[float]]:
    """Images per second of processor time by the side of the images, which take turns."""
    engine = EnginePool(data).engine(recipe)
    assert isinstance(engine, Engine), "a probe makes no steps"
    sides = [*smaller_than(data.side), data.side]
    found: dict[int, list[float]] = {side: [] for side in sides}
    for repeat in range(repeats + 1):
        for side in sides:
            engine.start(recipe)
            engine.see(side)
            engine.shuffle()
            started = time.process_time()
            engine.run_steps(_STEPS)
            if repeat:  # The first ones also allocate.
                taken = time.process_time() - started
                found[side].append(_STEPS * recipe.batch_size / taken)
    return found


def _run(recipe: TrainConfig, data: ImageData, kind: str, epochs: int, seed: int) -> Run:
    config = recipe.model_copy(update={"curriculum": kind, "epochs": epochs, "seed": seed})
    started = time.process_time()
    *_, last = fit(config, data)
    run = Run(last.val_accuracy or 0.0, time.process_time() - started)
    said = f"{run.accuracy:.2%} in {run.seconds:.0f} s"
    print(f"{kind}, {epochs} epochs, seed {seed}: {said}", file=sys.stderr, flush=True)
    return run


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="cifar10", help="a data set or a folder [cifar10]")
    parser.add_argument("--root", default="data", help="folder of the cache [data]")
    parser.add_argument("--images", type=int, default=10_000, help="to learn from [10000]")
    parser.add_argument("--epochs", type=int, default=8, help="without and with it [8]")
    parser.add_argument("--longer", type=int, default=10, help="with it, in as much time [10]")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each, 2 or more [3]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
