"""Training throughput of `fit` against the loop that most people write, on the same network.

The usual loop: torchvision transforms (random crop, flip, normalise) on PIL images in a DataLoader
with 2 workers, float32, contiguous, torch.optim.SGD, `loss.item()` every step. Also the same loop
with bfloat16 autocast and channels_last, where the processor has bfloat16.

    python benchmarks/throughput.py [--dataset FOLDER] [--repeats 3] [--recipe cpu]

Every measurement is a process of its own, and the contestants take turns, so that none profits
from what another one left behind or suffers from a busy moment of the machine. Without
`--dataset`, the images are random: how fast they go through does not depend on what they show.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import device_name, has_bf16, keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, Part, load_training_data
from train_core.networks import NetworkShape, build_network
from train_core.recipes import load_recipe

_IMAGES = 12_800
_WARM_UP = 4
"""Batches at the start of the usual loop that do not count: its workers are still starting."""


def main() -> None:
    """Let the contestants take turns, and print medians and ratios."""
    options = _options()
    if options.measure:
        print(json.dumps(_MEASURES[options.measure](options)))
        return
    names = ["usual", "autocast", "fit"] if has_bf16(pick_device()) else ["usual", "fit"]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            speeds[name].append(_apart(name, options))
    _report(options, speeds)


def _report(options: argparse.Namespace, speeds: dict[str, list[float]]) -> None:
    config = _config(options)
    print(f"hardware: {device_name(pick_device())}")
    print(f"versions: Python {platform.python_version()}, torch {torch.__version__}")
    images = options.dataset or "random"
    print(f"images: {images}, {_IMAGES} per run, n = {options.repeats} runs each")
    print(f"training: {config.describe()}")
    labels = {
        "usual": "usual loop (DataLoader with 2 workers, float32)",
        "autocast": "usual loop with bfloat16 autocast, channels_last",
        "fit": "fit, with augmentation",
    }
    for name, values in speeds.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{labels[name]:50} {statistics.median(values):8,.0f} images/s  ({spread})")
    if "autocast" in speeds:
        print(f"against autocast and channels_last: {_ratio(speeds, 'autocast'):.2f}")
    print(f"ratio: {_ratio(speeds, 'usual'):.2f}")


def _ratio(speeds: dict[str, list[float]], other: str) -> float:
    """Median of the ratios of neighbours in time."""
    return statistics.median(a / b for a, b in zip(speeds["fit"], speeds[other], strict=True))


def _apart(name: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--measure", name, "--recipe", options.recipe]
    command += ["--dataset", options.dataset] if options.dataset else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _measure_fit(options: argparse.Namespace) -> float:
    keep_freed_memory()
    config = _config(options).model_copy(update={"epochs": 3})
    data = _images(options)
    records = list(fit(config, data, EnginePool(data)))
    return max(record.images_per_second for record in records)


def _measure_usual(options: argparse.Namespace) -> float:
    return _usual(options, autocast=False)


def _measure_autocast(options: argparse.Namespace) -> float:
    return _usual(options, autocast=True)


_MEASURES = {"fit": _measure_fit, "usual": _measure_usual, "autocast": _measure_autocast}


def _usual(options: argparse.Namespace, *, autocast: bool) -> float:
    config, data = _config(options), _images(options)
    network = build_network(NetworkShape.of(config, len(data.classes)))
    network.reset(torch.Generator().manual_seed(0), data.filters)
    network = network.to(data.device)
    if autocast:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loader = DataLoader(
        _Pictures(data), batch_size=config.batch_size, shuffle=True, num_workers=2, drop_last=True
    )
    best = 0.0
    for _ in range(2):
        best = max(best, _usual_epoch(network, optimizer, loader, autocast=autocast))
    return best


def _usual_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, *, autocast: bool
) -> float:
    device, seen, started = next(network.parameters()).device, 0, 0.0
    for step, (images, labels) in enumerate(loader):
        if step == _WARM_UP:
            started = time.perf_counter()
        images, labels = images.to(device), labels.to(device)
        if autocast:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(network(images), labels, label_smoothing=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        seen += len(labels) if step >= _WARM_UP else 0
    return seen / (time.perf_counter() - started)


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's CIFAR10: arrays in memory, a PIL image for every request."""

    def __init__(self, data: ImageData) -> None:
        from torchvision import transforms

        self._images = data.train.images.cpu().numpy()
        self._labels = data.train.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(data.side, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(
                    data.normalisation.mean.tolist(), data.normalisation.std.tolist()
                ),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._images[row])), self._labels[row]


def _config(options: argparse.Namespace) -> TrainConfig:
    return load_recipe(options.recipe)


def _images(options: argparse.Namespace) -> ImageData:
    device = pick_device()
    if options.dataset:
        config = DataConfig(dataset=options.dataset, train_size=_IMAGES)
        return load_training_data(prepare(config), config, device)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (_IMAGES, 32, 32, 3), dtype=np.uint8)
    part = Part.of(images, random.integers(0, 10, _IMAGES), device)
    return ImageData(part, None, tuple("0123456789"), mirror=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", help="a data set or a folder of images [random images]")
    parser.add_argument("--recipe", default="cpu", help="whose network and batch size [cpu]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contestant [3]")
    parser.add_argument("--measure", choices=_MEASURES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
