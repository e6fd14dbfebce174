"""What a checkpoint costs: seconds to write, to read back, and bytes, for the recipes' networks.

    python -m benchmarks.checkpoints [--repeats 10] [--folder DISK]

One training step has been made, so that every buffer is there. A training writes one at the end of
an epoch when the last is `[workers] checkpoint_every` seconds old, so its share of a long training
is the seconds of a write divided by that.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.images import training_images
from benchmarks.machine import head
from records.outcome import EpochRecord
from search.config import SearchConfig
from train_core.checkpoint import Checkpoint
from train_core.config import RecipeName, load_recipe
from train_core.device import keep_freed_memory
from train_core.engine import EnginePool

_RECIPES: tuple[RecipeName, ...] = ("cpu", "fast", "accurate")


def main() -> None:
    """Write and read, and print a table."""
    options = _options()
    keep_freed_memory()
    engines = EnginePool(training_images(None))
    every = SearchConfig().workers.checkpoint_every
    print(f"{head()}\nn = {options.repeats} writes and reads each, medians and range")
    print("| recipe | file | write | read | share of training, one every "
          f"{every:g} s |\n| --- | ---: | ---: | ---: | ---: |")  # fmt: skip
    for recipe in _RECIPES:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "trial-0.safetensors"
            writes, reads = _times(recipe, engines, path, options.repeats)
            size = path.stat().st_size / 2**20
        share = statistics.median(writes) / every
        print(f"| {recipe} | {size:.1f} MiB | {_ms(writes)} | {_ms(reads)} | {share:.2%} |")


def _times(
    recipe: RecipeName, engines: EnginePool, path: Path, repeats: int
) -> tuple[list[float], list[float]]:
    config = load_recipe(recipe)
    engine = engines.engine(config)
    engine.start(config)
    engine.shuffle()
    engine.run_steps(1)
    writes, reads = [], []
    for epoch in range(1, repeats + 1):
        checkpoint = Checkpoint(path, every=0.0)
        started = time.perf_counter()
        checkpoint.epoch_ended(engine, config, [_record(i) for i in range(1, epoch + 1)])
        written = time.perf_counter()
        assert len(checkpoint.resume(engine, config)) == epoch
        reads.append(time.perf_counter() - written)
        writes.append(written - started)
    return writes, reads


def _record(epoch: int) -> EpochRecord:
    scores = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    return EpochRecord(epoch=epoch, lr=1.0, seconds=1.0, images=1, **scores)


def _ms(seconds: list[float]) -> str:
    low, middle, high = (1000 * f(seconds) for f in (min, statistics.median, max))
    return f"{middle:.1f} ms ({low:.1f} to {high:.1f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--folder", help="where to write [the system's temporary folder]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
