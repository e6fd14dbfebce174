"""What each piece of the training step brings in images/s, by taking it out.

    python -m benchmarks.step_pieces [--dataset FOLDER] [--repeats 5] [--recipe cpu]

Every measurement is a process of its own, and the variants take turns, so that a busy moment of
the machine hits all of them. The ratio is the median of those between neighbours in time.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.images import training_images
from benchmarks.machine import head
from train_core.config import TrainConfig, load_recipe
from train_core.device import has_bf16, keep_freed_memory, pick_device
from train_core.engine import EnginePool, engine, flat
from train_core.fit import measure_speed
from train_core.images import Normalisation
from train_core.networks import convnet

Change = Callable[[ExitStack, TrainConfig], TrainConfig]
"""Takes one piece out for as long as the stack lasts, and returns the training without it."""


def main() -> None:
    """Let the variants take turns, and print a table."""
    options = _options()
    if options.measure:
        print(json.dumps(_measure(options)))
        return
    names = [n for n in _VARIANTS if n != "bfloat16" or has_bf16(pick_device())]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.repeats):
        for name in names:
            speeds[name].append(_apart(name, options))
            print(f"{turn + 1}/{options.repeats} {name}: {speeds[name][-1]:,.0f}", file=sys.stderr)
    print(f"{head()}\nimages: {options.dataset or 'random'}, n = {options.repeats} runs each")
    print(f"training: {load_recipe(options.recipe).describe()}\n")
    print(
        "| without | images/s, median | spread | step as it is / this |\n| --- | --- | --- | --- |"
    )
    for name, values in speeds.items():
        print(_row(name, values, speeds["nothing"]))


def _row(name: str, values: list[float], reference: list[float]) -> str:
    ratios = [a / b for a, b in zip(reference, values, strict=True)]
    spread = f"{min(values):,.0f} to {max(values):,.0f}"
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {statistics.median(values):,.0f} | {spread} | {ratio} |"


def _apart(name: str, options: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.step_pieces", "--measure", name]
    command += ["--recipe", options.recipe]
    command += ["--dataset", options.dataset] if options.dataset else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _measure(options: argparse.Namespace) -> float:
    data = training_images(options.dataset)
    if options.measure != "keeping freed memory":
        keep_freed_memory()
    with ExitStack() as stack:
        config = _VARIANTS[options.measure](stack, load_recipe(options.recipe))
        return measure_speed(config, EnginePool(data), seconds=5.0)


def _config(changes: dict[str, object], stack: ExitStack, config: TrainConfig) -> TrainConfig:
    return config.model_copy(update=changes)


def _replaced(
    place: object, name: str, new: object, stack: ExitStack, config: TrainConfig
) -> TrainConfig:
    replacement: AbstractContextManager[object] = patch.object(place, name, new)
    stack.enter_context(replacement)
    return config


def _contiguous(stack: ExitStack, config: TrainConfig) -> TrainConfig:
    def view(self: flat.FlatState, whole: Tensor, tensor: Tensor) -> Tensor:
        start = self._places[tensor]
        return whole[start : start + tensor.numel()].view(tensor.shape)

    _replaced(flat.FlatState, "view", view, stack, config)
    return _replaced(torch, "channels_last", torch.contiguous_format, stack, config)


def _read_loss(stack: ExitStack, config: TrainConfig) -> TrainConfig:
    step = engine.Engine._train_step

    def waiting(self: engine.Engine) -> None:
        step(self)
        self._loss.item()

    return _replaced(engine.Engine, "_train_step", waiting, stack, config)


def _not_augmented(
    images: Tensor, _flipped: Tensor, _draws: object, _strength: Tensor, norm: Normalisation
) -> Tensor:
    return norm(images)


_VARIANTS: dict[str, Change] = {
    "nothing": partial(_config, {}),
    "bfloat16": partial(_config, {"precision": "fp32"}),
    "channels_last": _contiguous,
    "keeping freed memory": partial(_config, {}),
    "fewer whitening channels": partial(_replaced, convnet, "_WHITENED_LEAST", 24),
    "reading the loss once per epoch": _read_loss,
    "augmentation": partial(_replaced, engine, "augment", _not_augmented),
    "averaging": partial(_replaced, engine.Engine, "_move_average", lambda self: None),
    "Muon (SGD instead)": partial(_config, {"optimizer": "sgd"}),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", help="a data set or a folder of images [random images]")
    parser.add_argument("--recipe", default="cpu", help="whose step [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each variant [5]")
    parser.add_argument("--measure", choices=_VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
