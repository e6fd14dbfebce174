"""What each technique of recipe `cpu` brings: the recipe with one piece changed at a time.

    python -m benchmarks.ablations [--dataset FOLDER] [--seeds 5] [--epochs 4] [--variants ...]

Every variant trains with the same seeds as the recipe and is scored on the validation part; the
test part stays closed. The same seed gives the same initial weights, order and augmentation
wherever the variant leaves them alone, so that differences are taken pair by pair. Other
optimizers first look for their learning rate with a seed that does not count. The variants take
turns, seed by seed.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import head
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool, engine
from train_core.fit import fit
from train_core.images import ImageData, load_training_data
from train_core.networks import NetworkSpec, convnet

_RATE_SEED = 1_000_000
"""For choosing a learning rate: one chosen by luck must not keep the luck."""


@dataclass(frozen=True)
class Variant:
    """One change to a recipe.

    Attributes:
        says: What is changed, for the table.
        keys: Of `TrainConfig`, in place of the recipe's.
        exchange: Makes the context in which the library trains with other code: it has no
            switches for what it does not offer.
        rates: Learning rates to choose from; empty = the recipe's.
    """

    says: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    exchange: Callable[[], AbstractContextManager[object]] = nullcontext
    rates: tuple[float, ...] = ()


class _TrainedFirst(convnet.ConvNet):
    """The first layer is a parameter (which Muon then updates), as torch would initialise it."""

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__(width, depth, classes)
        shape = self.whitening.shape
        del self.whitening
        self.whitening = nn.Parameter(torch.zeros(shape))

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        super().reset(generator, filters)
        # Drawn last, so that all other weights are those of the recipe with the same seed.
        self.whitening.copy_(_default_init(self.whitening.shape, generator))


class _PoolLast(convnet.Block):
    """Norm and activation at full resolution, then pooling; for depths without a residual."""

    def forward(self, x: Tensor) -> Tensor:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.silu(norm(conv(x)))
            if i == 0:
                x = F.max_pool2d(x, 2)
        return x


def _default_init(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """What `nn.Conv2d` draws: uniform within the root of the inputs' reciprocal."""
    bound = shape[1:].numel() ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _coin_flips() -> AbstractContextManager[object]:
    """Every image tosses a coin in every epoch; all other random numbers stay what they were."""
    # A training draws from generators of its own, and leaves torch's default to the coins.
    torch.manual_seed(0)
    return patch.object(engine, "flips", lambda phase, *_: torch.rand_like(phase) < 0.5)


def _no_flips(phase: Tensor, *_: Tensor) -> Tensor:
    return torch.zeros_like(phase, dtype=torch.bool)


_VARIANTS = {
    "recipe": Variant("recipe as it is"),
    "no-augment": Variant("no augmentation at all", {"augment": 0.0}),
    "coin-flip": Variant("flip by a coin in every epoch, not alternating", exchange=_coin_flips),
    "no-flip": Variant(
        "no flip, other augmentation as it is",
        exchange=partial(patch.object, engine, "flips", _no_flips),
    ),
    "trained-first": Variant(
        "first layer trained from torch's initialisation, not frozen whitening",
        exchange=partial(
            patch.object, convnet, "SPEC", NetworkSpec(convnet.SPEC.keys, _TrainedFirst)
        ),
    ),
    "default-init": Variant(
        "convolutions start as torch's do, not as identities",
        exchange=partial(patch.object, convnet, "_identity_first", _default_init),
    ),
    "pool-last": Variant(
        "pooling after norm and activation, not before",
        exchange=partial(patch.object, convnet, "Block", _PoolLast),
    ),
    "ema": Variant("added: averaging of the weights", {"ema": 0.02}),
    "no-smoothing": Variant("no label smoothing", {"label_smoothing": 0.0}),
    "sgd": Variant(
        "SGD, not Muon", {"optimizer": "sgd", "momentum": 0.85}, rates=(0.75, 1.5, 3.0)
    ),
    "adamw": Variant("AdamW, not Muon", {"optimizer": "adamw"}, rates=(0.02, 0.04, 0.08, 0.16)),
}
"""By the name that `--variants` takes; all are compared to the first one."""


class Run(NamedTuple):
    """How one training ended: its validation accuracy, and seconds of its fastest epoch."""

    accuracy: float
    seconds: float


class Trainings:
    """Trainings of the variants on one data set, the same ones for all."""

    def __init__(self, data: ImageData, recipe: TrainConfig) -> None:
        """Nothing is trained yet."""
        self.data, self.recipe = data, recipe

    def config(self, name: str) -> TrainConfig:
        """The variant's config, with the best of its learning rates if it has several."""
        variant = _VARIANTS[name]
        base = self.recipe.model_copy(update=dict(variant.keys))
        choice = [base.model_copy(update={"lr": rate}) for rate in variant.rates]
        found = [self.run(name, config, _RATE_SEED).accuracy for config in choice]
        return choice[found.index(max(found))] if choice else base

    def run(self, name: str, config: TrainConfig, seed: int) -> Run:
        """Train once."""
        config = config.model_copy(update={"seed": seed})
        with _VARIANTS[name].exchange():
            # Buffers of their own: an engine of the pool would be that of another variant.
            records = list(fit(config, self.data, EnginePool(self.data)))
        run = Run(records[-1].val_accuracy or 0.0, min(record.seconds for record in records))
        print(f"{name} lr {config.lr:g} seed {seed}: {run.accuracy:.2%}", file=sys.stderr)
        return run


def main() -> None:
    """Train, and print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    data = DataConfig(dataset=options.dataset, train_size=options.images)
    images, recipe = load_training_data(prepare(data), data, pick_device()), load_recipe("cpu")
    recipe = recipe.model_copy(update={"epochs": options.epochs or recipe.epochs})
    trainings = Trainings(images, recipe)
    # The recipe first: the others are compared to it pair by pair.
    names = [name for name in _VARIANTS if name in {"recipe", *options.variants}]
    configs = {name: trainings.config(name) for name in names}
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for seed, (name, config) in product(range(options.seeds), configs.items()):
        runs[name].append(trainings.run(name, config, seed))
    print(f"```\n{head()}\nimages: {len(images.train):,} of {options.dataset}")
    print(f"recipe: {recipe.describe()}, n = {options.seeds} seeds\n```\n")
    print("| variant | validation accuracy | deviation | minus the recipe | lr | time |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, found in runs.items():
        print(_row(_VARIANTS[name].says, configs[name].lr, found, runs["recipe"]))
    print("\nMinus the recipe: mean of the pairs of one seed, in points, with its standard error.")
    print(
        "Time: fastest epoch as a share of the recipe's with the same seed, median of the pairs."
    )


def _row(says: str, lr: float, mine: list[Run], base: list[Run]) -> str:
    scores, pairs = [100 * run.accuracy for run in mine], list(zip(mine, base, strict=True))
    gains = [100 * (a.accuracy - b.accuracy) for a, b in pairs]
    error = statistics.stdev(gains) / len(gains) ** 0.5
    gain = "" if mine is base else f"{statistics.mean(gains):+.2f} ± {error:.2f}"
    time = statistics.median(a.seconds / b.seconds for a, b in pairs)
    score = f"{statistics.mean(scores):.2f} % | {statistics.stdev(scores):.2f}"
    return f"| {says} | {score} | {gain} | {lr:g} | {time:.2f} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="cifar10", help="a data set or a folder [cifar10]")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each, 2 or more [5]")
    parser.add_argument("--variants", nargs="+", choices=_VARIANTS, default=list(_VARIANTS))
    parser.add_argument("--images", type=int, help="to learn from [all]")
    parser.add_argument("--epochs", type=int, help="of every training [the recipe's]")
    parser.add_argument("--threads", type=int, default=1, help="to calculate with [1]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
