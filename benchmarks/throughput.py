"""Training throughput of `fit` against the loop that most people write, on the same network.

    python benchmarks/throughput.py [--dataset FOLDER] [--repeats 3] [--recipe cpu]

The usual loop (`usual_loop.py`) does the same augmentation by torchvision's transforms; one line
has it do only a crop and a flip, another one (where the processor has bfloat16) adds autocast and
channels_last. `fit` keeps freed memory, as our commands do. Everybody trains for two epochs, of
which the faster one counts. Every measurement is a process of its own, and the contestants take
turns, so that none profits from what another one left behind or suffers from a busy moment of the
machine. Without `--dataset`, the images are random: how fast they go through does not depend on
what they show.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.images import COUNT, training_images
from benchmarks.machine import head
from benchmarks.usual_loop import crop_and_flip, same_augmentation, usual_speed
from train_core.config import TrainConfig, load_recipe
from train_core.device import has_bf16, keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData

_LABELS = {
    "light": "usual loop, crop and flip only, float32",
    "usual": "usual loop, same augmentation, float32",
    "fit": "fit, with augmentation",
    "autocast": "usual loop, same augmentation, bf16 autocast, channels_last",
}


def main() -> None:
    """Let the contestants take turns, and print medians and ratios."""
    options = _options()
    if options.measure:
        config = load_recipe(options.recipe)
        data = training_images(options.dataset, options.images)
        print(json.dumps(_measure(options.measure, config, data)))
        return
    names = [n for n in options.only if n != "autocast" or has_bf16(pick_device())]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            speeds[name].append(_apart(name, options))
    _report(options, speeds)


def _measure(name: str, config: TrainConfig, data: ImageData) -> float:
    if name == "fit":
        keep_freed_memory()
        short = config.model_copy(update={"epochs": 2})
        return max(r.images_per_second for r in fit(short, data, EnginePool(data)))
    steps = crop_and_flip(data) if name == "light" else same_augmentation(data, config.augment)
    return usual_speed(config, data, steps, autocast=name == "autocast")


def _report(options: argparse.Namespace, speeds: dict[str, list[float]]) -> None:
    images = options.dataset or "random"
    print(
        f"{head()}\nimages: {images}, {options.images} per epoch, n = {options.repeats} runs each"
    )
    print(f"training: {load_recipe(options.recipe).describe()}")
    for name, values in speeds.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        line = f"{_LABELS[name]:60}{statistics.median(values):8,.0f} images/s  ({spread})"
        print(line if name == "fit" else f"{line}  fit / this: {_ratio(speeds, name):.2f}")
    if "usual" in speeds:
        print(f"ratio: {_ratio(speeds, 'usual'):.2f}")


def _ratio(speeds: dict[str, list[float]], other: str) -> float:
    """Median of the ratios of neighbours in time."""
    return statistics.median(a / b for a, b in zip(speeds["fit"], speeds[other], strict=True))


def _apart(name: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--measure", name, "--recipe", options.recipe]
    command += ["--images", str(options.images)]
    command += ["--dataset", options.dataset] if options.dataset else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", help="a data set or a folder of images [random images]")
    parser.add_argument("--recipe", default="cpu", help="whose network and batch size [cpu]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contestant [3]")
    parser.add_argument("--images", type=int, default=COUNT, help=f"per epoch [{COUNT}]")
    parser.add_argument("--only", nargs="+", choices=_LABELS, default=list(_LABELS), help="whom")
    parser.add_argument("--measure", choices=_LABELS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
