"""What each technique of recipe `cpu` brings: the recipe with one piece changed at a time.

    python -m benchmarks.ablations [--dataset FOLDER] [--seeds 5] [--epochs 4] [--variants ...]

Every variant trains with the same seeds as the recipe and is scored on the validation part; the
test part stays closed. The same seed gives the same initial weights, order and augmentation
wherever the variant leaves them alone, so that differences are taken pair by pair. Other
optimizers first look for their learning rate with a seed that does not count. The variants take
turns, seed by seed; every finished training is a line of `--out`, and the same command goes on
from there.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from pydantic import BaseModel
from torch import Tensor, nn

from benchmarks.measure import head
from train_core import engine
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, load_training_data
from train_core.networks import build, convnet
from train_core.recipes import load_recipe

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
        exchange=partial(patch.object, build, "ConvNet", _TrainedFirst),
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


class Run(BaseModel):
    """One training: of what on what, and per epoch how well and how long."""

    variant: str
    images: str
    config: TrainConfig
    accuracy: list[float]
    seconds: list[float]


class Notebook:
    """The trainings on one data set, each done once; other lines of the file are left alone."""

    def __init__(self, data: ImageData, images: str, recipe: TrainConfig, out: Path) -> None:
        """Read what is there; `images` is the data set in words."""
        self._data, self.images, self.recipe, self._out = data, images, recipe, out
        lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
        runs = [Run.model_validate_json(line) for line in lines]
        self._runs = {(r.variant, r.config): r for r in runs if r.images == images}

    def find(self, name: str, config: TrainConfig) -> Run:
        """The training of this variant with this config, done now if it was not."""
        if (name, config) not in self._runs:
            self._runs[name, config] = run = self._train(name, config)
            self._out.parent.mkdir(parents=True, exist_ok=True)
            with self._out.open("a", encoding="utf-8") as file:
                file.write(run.model_dump_json() + "\n")
            of = f"{name} lr {config.lr:g} seed {config.seed}"
            print(f"{of}: {run.accuracy[-1]:.2%}, {sum(run.seconds):.1f} s", flush=True)
        return self._runs[name, config]

    def config(self, name: str) -> TrainConfig:
        """The variant's config, with the best of its learning rates if it has several."""
        variant = _VARIANTS[name]
        base = self.recipe.model_copy(update=dict(variant.keys))
        choice = [base.model_copy(update={"lr": rate}) for rate in variant.rates]
        tried = (c.model_copy(update={"seed": _RATE_SEED}) for c in choice)
        found = [self.find(name, config).accuracy[-1] for config in tried]
        return choice[found.index(max(found))] if choice else base

    def _train(self, name: str, config: TrainConfig) -> Run:
        with _VARIANTS[name].exchange():
            # Buffers of their own: an engine of the pool would be that of another variant.
            records = list(fit(config, self._data, EnginePool(self._data)))
        scores, times = [r.val_accuracy or 0.0 for r in records], [r.seconds for r in records]
        return Run(variant=name, images=self.images, config=config, accuracy=scores, seconds=times)


def main() -> None:
    """Train what is missing, and print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    book = _notebook(options)
    # The recipe first: the others are compared to it pair by pair.
    names = [name for name in _VARIANTS if name in {"recipe", *options.variants}]
    configs = {name: book.config(name) for name in names}
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for seed in range(options.seeds):
        for name, config in configs.items():
            runs[name].append(book.find(name, config.model_copy(update={"seed": seed})))
    print(f"```\n{head()}\nimages: {book.images}, n = {options.seeds} seeds")
    print(f"recipe: {book.recipe.describe()}\n```\n")
    print("| variant | validation accuracy | deviation | minus the recipe | lr | time |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, found in runs.items():
        print(_row(name, found, runs["recipe"]))
    print("\nMinus the recipe: mean of the pairs of one seed, in points, with its standard error.")
    print(
        "Time: fastest epoch as a share of the recipe's with the same seed, median of the pairs."
    )


def _notebook(options: argparse.Namespace) -> Notebook:
    config = DataConfig(dataset=options.dataset, train_size=options.images)
    prepared = prepare(config)
    data = load_training_data(prepared, config, pick_device())
    assert data.validation is not None
    counts = f"{len(data.train):,} training, {len(data.validation):,} validation images"
    recipe = load_recipe("cpu")
    recipe = recipe.model_copy(update={"epochs": options.epochs or recipe.epochs})
    return Notebook(data, f"{prepared.name}, {counts}", recipe, Path(options.out))


def _row(name: str, mine: list[Run], base: list[Run]) -> str:
    scores = [100 * run.accuracy[-1] for run in mine]
    pairs = list(zip(mine, base, strict=True))
    gains = [100 * (a.accuracy[-1] - b.accuracy[-1]) for a, b in pairs]
    error = statistics.stdev(gains) / len(gains) ** 0.5
    gain = "" if mine is base else f"{statistics.mean(gains):+.2f} ± {error:.2f}"
    time = statistics.median(min(a.seconds) / min(b.seconds) for a, b in pairs)
    score = f"{statistics.mean(scores):.2f} % | {statistics.stdev(scores):.2f}"
    return f"| {_VARIANTS[name].says} | {score} | {gain} | {mine[0].config.lr:g} | {time:.2f} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="cifar10", help="a data set or a folder [cifar10]")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each, 2 or more [5]")
    parser.add_argument("--variants", nargs="+", choices=_VARIANTS, default=list(_VARIANTS))
    parser.add_argument("--images", type=int, help="to learn from [all]")
    parser.add_argument("--epochs", type=int, help="of every training [the recipe's]")
    parser.add_argument("--threads", type=int, default=1, help="to calculate with [1]")
    parser.add_argument("--out", default="runs/ablations.jsonl", help="one line per training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
