"""How many passes training from scratch needs: few classes against many, images alike in number.

    python -m benchmarks.passes FOLDER [FOLDER ...] [--images 5500] [--epochs 4 8] [--seeds 2]

Recipe `cpu` as it is, at 32 pixels, with nothing but the epochs changed. A line for every one:
images seen, with repetition, in all and for each class, and the accuracy on the validation part.
"""

import argparse

from benchmarks.measure import head
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, load_training_data


def main() -> None:
    """Train on every folder with all numbers of epochs, seed by seed."""
    options = _options()
    keep_freed_memory()
    print(head())
    print("folder, classes, images, epochs, seed: seen, seen per class: accuracy", flush=True)
    pools = {folder: EnginePool(_images(folder, options)) for folder in options.folders}
    for seed in range(options.seeds):
        for epochs in options.epochs:
            for folder, pool in pools.items():
                changes = {"epochs": epochs, "seed": seed}
                config = TrainConfig.model_validate({**load_recipe("cpu").model_dump(), **changes})
                *_, last = fit(config, pool.data, pool)
                classes, seen = len(pool.data.classes), epochs * last.images
                print(
                    f"{folder}, {classes}, {len(pool.data.train)}, {epochs}, {seed}: {seen:,}, "
                    f"{seen / classes:,.0f}: {last.val_accuracy:.2%}", flush=True,
                )  # fmt: skip


def _images(folder: str, options: argparse.Namespace) -> ImageData:
    config = DataConfig(dataset=folder, root=options.root, image_size=32, validation_fraction=0.1)
    prepared = prepare(config)
    count = min(options.images, len(prepared.rows(config).train))
    return load_training_data(
        prepared, config.model_copy(update={"train_size": count}), pick_device()
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="+", help="folders of pictures, or data sets")
    parser.add_argument("--root", default="data", help="of the cache [data]")
    parser.add_argument("--images", type=int, default=5_500, help="to learn from [5500]")
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--seeds", type=int, default=2, help="of every training [2]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
