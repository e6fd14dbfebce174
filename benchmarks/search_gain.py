"""What a search brought: its winner against the configuration it started from, on the test images.

    python -m benchmarks.search_gain runs/STUDY [--seeds 5]

Both are trained with the same fresh seeds on the same training part, without the validation part
that chose the winner, and scored on the test part. Nothing is decided by what comes out.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.measure import head
from studies.attributes import trial_records
from studies.study import Place, find
from train_core.config import TrainConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import Part, load_test_part, load_training_data
from train_core.model import score
from train_core.recipes import load_run_config

_FIRST_SEED = 10_000
"""Far from those of the search and of the confirmation."""


def main() -> None:
    """Train both, and print what each seed gave."""
    options = _options()
    keep_freed_memory()
    best = load_run_config(str(options.run / "best" / "config.toml"))
    data_config = best.data.model_copy(update={"train_on_validation": False})
    prepared = prepare(data_config)
    engines = EnginePool(load_training_data(prepared, data_config, pick_device()))
    test = load_test_part(prepared, pick_device())
    # The first trial's configuration is the recipe's.
    first = trial_records(find(Place(options.run.name, options.run)))[0]
    configs = {"default": TrainConfig.model_validate(first.config), "winner": best.training}
    accuracies: dict[str, list[float]] = {name: [] for name in configs}
    for seed in range(_FIRST_SEED, _FIRST_SEED + options.seeds):
        for name, config in configs.items():
            seeded = config.model_copy(update={"seed": seed})
            accuracies[name].append(_accuracy(seeded, engines, test))
            print(f"seed {seed} {name}: {accuracies[name][-1]:.2%}", file=sys.stderr)
    print(head())
    print(f"{len(engines.data.train):,} training images, {len(test):,} test images")
    _report(configs, accuracies)


def _report(configs: dict[str, TrainConfig], accuracies: dict[str, list[float]]) -> None:
    for name, config in configs.items():
        values = accuracies[name]
        mean, spread = statistics.mean(values), statistics.stdev(values)
        print(f"{name}: {mean:.2%} ± {spread:.2%} (n = {len(values)})  {config.describe()}")
    gains = [b - a for a, b in zip(accuracies["default"], accuracies["winner"], strict=True)]
    error = statistics.stdev(gains) / len(gains) ** 0.5
    print(f"gain: {100 * statistics.mean(gains):+.2f} ± {100 * error:.2f} points (standard error)")


def _accuracy(config: TrainConfig, engines: EnginePool, test: Part) -> float:
    for _ in fit(config, engines.data, engines):
        pass
    engine = engines.engine(config)
    return score(engine.average, test, engines.data.normalisation, engine.shape.dtype)[1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="folder of a finished search: runs/STUDY")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each [5]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
