"""What each technique of recipe `cpu` brings: the recipe with one piece changed at a time.

    python -m benchmarks.ablations [--dataset FOLDER] [--seeds 5] [--epochs 4] [--variants ...]

Every variant (`ablation_variants.py`) trains with the same seeds as the recipe and is scored on
the validation part; the test part stays closed. The same seed gives the same initial weights,
order and augmentation wherever the variant leaves them alone, so that differences are taken pair
by pair. Other optimizers first look for their learning rate with a seed that does not count. The
variants take turns, seed by seed; every finished training is a line of `--out`, and the same
command goes on from there. The table is saved beside it as Markdown, after every training.
"""

import argparse
import statistics
from pathlib import Path

import torch
from pydantic import BaseModel

from benchmarks.ablation_variants import VARIANTS
from benchmarks.machine import head
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, load_training_data

_LOOK = 1_000_000
"""Seed of the looks for a learning rate: a rate chosen by luck must not keep the luck."""


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

    def looks(self, name: str) -> dict[TrainConfig, float]:
        """Accuracy of one training with each of the variant's learning rates."""
        return {
            c: self.find(name, c.model_copy(update={"seed": _LOOK})).accuracy[-1]
            for c in VARIANTS[name].configs(self.recipe)
        }

    def _train(self, name: str, config: TrainConfig) -> Run:
        with VARIANTS[name].exchange():
            # Buffers of their own: an engine of the pool would be that of another variant.
            records = list(fit(config, self._data, EnginePool(self._data)))
        scores, times = [r.val_accuracy or 0.0 for r in records], [r.seconds for r in records]
        return Run(variant=name, images=self.images, config=config, accuracy=scores, seconds=times)


def main() -> None:
    """Train what is missing, and make the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    book = _notebook(options)
    # The base first: the others are compared to it pair by pair.
    names = sorted(VARIANTS, key=lambda name: name != options.base)
    names = [name for name in names if name in {options.base, *options.variants}]
    configs = {name: _settled(name, book) for name in names}
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for seed in range(options.seeds):
        for name, config in configs.items():
            runs[name].append(book.find(name, config.model_copy(update={"seed": seed})))
            report = _report(runs, options.base, book)
            Path(options.out).with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)


def _notebook(options: argparse.Namespace) -> Notebook:
    config = DataConfig(dataset=options.dataset, train_size=options.images)
    prepared = prepare(config)
    data = load_training_data(prepared, config, pick_device())
    assert data.validation is not None
    counts = f"{len(data.train):,} training, {len(data.validation):,} validation images"
    recipe = load_recipe("cpu")
    recipe = recipe.model_copy(update={"epochs": options.epochs or recipe.epochs})
    return Notebook(data, f"{prepared.name}, {counts}", recipe, Path(options.out))


def _settled(name: str, book: Notebook) -> TrainConfig:
    """The variant's config, with the best of its learning rates if it has several."""
    configs = VARIANTS[name].configs(book.recipe)
    looks = book.looks(name) if len(configs) > 1 else {}
    return max(looks, key=looks.__getitem__, default=configs[0])


def _report(runs: dict[str, list[Run]], base: str, book: Notebook) -> str:
    """The table of what is there, with all that its figures need beside them."""
    lines = [
        f"```\n{head()}\nimages: {book.images}, n = {len(runs[base])} seeds",
        f"recipe: {book.recipe.describe()}\n```\n",
        f"| variant | validation accuracy | deviation | minus {base} | n | time |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(name, runs[name], runs[base]) for name in runs if runs[name]),
        f"\nMinus {base}: mean of the pairs of one seed, in points, with its standard error.",
        f"Time: fastest epoch as a share of {base} with the same seed, median of the pairs.",
        *(_looked(name, book) for name in runs if VARIANTS[name].rates),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, mine: list[Run], base: list[Run]) -> str:
    scores = [100 * run.accuracy[-1] for run in mine]
    pairs = list(zip(mine, base, strict=False))
    gains = [100 * (a.accuracy[-1] - b.accuracy[-1]) for a, b in pairs]
    error = _deviation(gains) / len(gains) ** 0.5
    gain = f"{statistics.mean(gains):+.2f} ± {error:.2f}" if mine is not base else ""
    time = statistics.median(min(a.seconds) / min(b.seconds) for a, b in pairs)
    score = f"{statistics.mean(scores):.2f} % | {_deviation(scores):.2f}"
    return f"| {VARIANTS[name].says} | {score} | {gain} | {len(mine)} | {time:.2f} |"


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def _looked(name: str, book: Notebook) -> str:
    seen = ", ".join(f"{c.lr:g} gave {100 * a:.2f} %" for c, a in book.looks(name).items())
    return f"{VARIANTS[name].says}: learning rate by one look each, with another seed: {seen}."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="cifar10", help="a data set or a folder [cifar10]")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each variant [5]")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--base", choices=VARIANTS, default="recipe", help="compare to [recipe]")
    parser.add_argument("--images", type=int, help="to learn from [all]")
    parser.add_argument("--epochs", type=int, help="of every training [the recipe's]")
    parser.add_argument("--threads", type=int, default=1, help="to calculate with [1]")
    parser.add_argument("--out", default="runs/ablations.jsonl", help="one line per training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
