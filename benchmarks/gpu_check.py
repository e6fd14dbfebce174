"""What a GPU makes of convsearch, in one command of under ten minutes.

    python -m benchmarks.gpu_check [--only PART ...] [--cpu]

Speed is measured on noise of the size of CIFAR-10: it does not depend on what images show. A part
that fails is named and makes the exit code 1; the others run all the same. `search` needs all that
the project needs, and is skipped, with a line, where some of it is missing. `--cpu` runs every
part, tiny, on the processor, to see that it runs: its figures mean nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image
from torch.utils.benchmark import Timer

from benchmarks.measure import ROOT, environment, head, noise, spread, training_images
from benchmarks.usual_loop import same_augmentation, usual_speed
from benchmarks.workers import together
from train_core.config import TrainConfig, load_recipe
from train_core.engine import Engine, EnginePool
from train_core.fit import fit

_END = 450.0
"""Seconds after which nothing is started any more; compiling a shape takes up to a minute."""

_FOR_SEARCH = ("optuna", "sqlalchemy", "plotly", "scipy", "sklearn", "onnx", "onnxscript")

_WAYS: dict[str, dict[str, Any]] = {
    "eager": {},
    "captured": {"cuda_graph": True},
    "compiled": {"compile": True},
    "compiled and captured": {"compile": True, "cuda_graph": True},
}
_EQUAL = {"captured": 1e-3, "compiled": 1e-2}
"""Relative difference from the eager losses that is still called equal."""


class Skipped(Exception):
    """Why a part, or the rest of it, does not run."""


@dataclass(frozen=True)
class Sizes:
    """How much every part does; the defaults are those for a GPU.

    Attributes:
        images: Of noise, per epoch.
        batches: Batch sizes; what needs one takes the second.
        seconds: Of a measurement of speed, at least.
        rounds: Of trainings that must not take more and more memory.
        trials: Of the search.
        limit: Seconds that the search may take.
        training: Keys of `TrainConfig` in place of the recipe's.
        started: When the clock began, for `need_time`.
    """

    images: int = 50_000
    batches: tuple[int, ...] = (128, 256, 512, 1024)
    seconds: float = 0.5
    rounds: int = 8
    trials: int = 10
    limit: float = 120.0
    training: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def config(self, batch: int, way: str, **keys: Any) -> TrainConfig:
        """Recipe `fast`, calm enough that noise cannot make it diverge."""
        recipe = load_recipe("fast")
        changes = {"lr": recipe.lr / 10, "batch_size": batch, **self.training, **_WAYS[way]}
        return recipe.model_copy(update=changes | keys)

    def need_time(self) -> None:
        """Skip what comes if the time is over."""
        if time.monotonic() - self.started > _END:
            raise Skipped("the time is over, --only runs a part alone")


_TINY = partial(Sizes, 256, (16, 32), 0.02, rounds=3, trials=1, limit=600, training={"width": 8})


def main() -> int:
    """Run the parts; every line begins with the part's name."""
    options = _options()
    if options.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        sys.stderr.write("error: gpu_check needs a CUDA device (--cpu tries it without one)\n")
        return 2
    sizes, failed = _TINY() if options.cpu else Sizes(), False
    for name in options.only:
        try:
            sizes.need_time()
            for line in _PARTS[name](sizes):
                print(f"{name}: {line}", flush=True)
        except Skipped as reason:
            print(f"{name}: skipped: {reason}", flush=True)
        # Torch's and CUDA's errors, and those of a training.
        except Exception:  # noqa: BLE001
            failed = True
            print(f"{name}: FAILED\n{traceback.format_exc()}", flush=True)
    print(f"all in {time.monotonic() - sizes.started:.0f} s")
    return int(failed)


def _machine(_: Sizes) -> Iterator[str]:
    yield from head().split("\n")
    yield f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    for card in map(torch.cuda.get_device_properties, range(torch.cuda.device_count())):
        yield f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {card.major}.{card.minor}"


def _equal(ways: tuple[str, ...], sizes: Sizes) -> Iterator[str]:
    """Losses of trainings with one seed in float32, by kernels that add up in the same order."""
    data, cudnn = training_images(None, min(sizes.images, 5_120)), torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    losses: dict[str, list[float]] = {}
    try:
        for way in ("eager", *ways):
            config = sizes.config(sizes.batches[1], way, precision="fp32", epochs=3, dropout=0.1)
            losses[way] = [record.train_loss for record in fit(config, data)]
    finally:
        cudnn.benchmark, cudnn.deterministic = before
    for way in ways:
        pairs = list(zip(losses["eager"], losses[way], strict=True))
        apart = max(abs(a - b) / abs(a) for a, b in pairs)
        yield f"{way} and eager, fp32: losses differ by a share of {apart:.1e} at most"
        if apart > _EQUAL[way]:
            raise RuntimeError(f"{way} must be within {_EQUAL[way]:g} of eager, but got {pairs}")


def _speed(ways: tuple[str, ...], sizes: Sizes) -> Iterator[str]:
    data, gpu = training_images(None, sizes.images), torch.cuda.is_available()
    steps = 20 if gpu else 1
    for batch, way in product(sizes.batches, ways):
        sizes.need_time()
        engines = EnginePool(data)
        # So many epochs that the schedule lasts longer than the measurement.
        config = sizes.config(batch, way, epochs=300)
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        engine = engines.engine(config)
        assert isinstance(engine, Engine)
        engine.start(config)
        engine.shuffle()
        engine.run_steps(3)
        # Its clock is read when the device has done its work.
        timer = Timer(f"engine.run_steps({steps})", globals={"engine": engine},
                      num_threads=torch.get_num_threads())  # fmt: skip
        times = timer.blocked_autorange(min_run_time=sizes.seconds).times
        peak = torch.cuda.max_memory_allocated() / 2**20
        speeds = spread([steps * batch / seconds for seconds in times])
        yield f"batch {batch:4}, {way:21} {speeds} images/s, at most {peak:,.0f} MiB"
        del engine, timer
        engines.clear()


def _usual(sizes: Sizes) -> Iterator[str]:
    batch, workers = sizes.batches[1], min(16, os.cpu_count() or 1)
    config, data = sizes.config(batch, "eager"), training_images(None, min(sizes.images, 12_800))
    steps = same_augmentation(data, config.augment)
    for how, autocast in {"fp32": False, "bf16 autocast, channels_last": True}.items():
        speed = usual_speed(config, data, steps, autocast=autocast, workers=workers)
        yield f"batch {batch}, {how}, DataLoader with {workers} workers: {speed:,.0f} images/s"


def _memory(sizes: Sizes) -> Iterator[str]:
    """Train the same shapes again and again, as a search does."""
    engines, held = EnginePool(training_images(None, min(sizes.images, 12_800))), []
    for _ in range(sizes.rounds):
        for batch in sizes.batches:
            for _ in fit(sizes.config(batch, "captured", epochs=1), engines.data, engines):
                pass
        on_device = torch.cuda.memory_reserved() or psutil.Process().memory_info().rss
        held.append(on_device / 2**20)
    yield (
        f"{held[1]:,.0f} MiB after 2 rounds of {len(sizes.batches)} captured trainings, "
        f"{held[-1]:,.0f} MiB after {sizes.rounds}"
    )
    if held[-1] > 1.1 * held[1]:
        raise RuntimeError(f"memory must not grow by a tenth, but got {held} MiB after each round")


def _workers(sizes: Sizes) -> Iterator[str]:
    config = sizes.config(sizes.batches[1], "captured")
    one, two = (together(n, 1, config, 8 * sizes.seconds, sizes.images) for n in (1, 2))
    yield f"1 process {one:,.0f} images/s, 2 together {two:,.0f}: {two / one:.2f} times"


def _search(sizes: Sizes) -> Iterator[str]:
    if missing := [name for name in _FOR_SEARCH if find_spec(name) is None]:
        raise Skipped(f"it needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (image, label) in enumerate(zip(*noise(sizes.images // 5), strict=True)):
            path = Path(folder, "pictures", "train", f"class {label}", f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        keys = {"cuda_graph": True, "epochs": 4, **sizes.training}
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        config = Path(folder, "search.toml")
        tables = [f'data = {{ root = "{folder}" }}', "confirm = { top = 1 }", "[training]"]
        config.write_text("\n".join([*tables, *lines]))
        flags = {"dataset": f"{folder}/pictures", "config": config, "recipe": "fast",
                 "trials": sizes.trials, "study": "check", "runs": folder}  # fmt: skip
        command = [sys.executable, "-m", "search.run"]
        command += [f"--{name}={value}" for name, value in flags.items()]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
                       timeout=sizes.limit, check=True)  # fmt: skip
        seconds = time.perf_counter() - started
        metrics = json.loads(Path(folder, "check", "best", "metrics.json").read_text())
    yield f"{sizes.trials} trials of {keys['epochs']} epochs and all that follows: {seconds:.0f} s"
    yield f"test accuracy on noise of ten brightnesses {metrics['test']['accuracy']:.1%}"


# The longest and least important comes last.
_PARTS: dict[str, Callable[[Sizes], Iterator[str]]] = {
    "machine": _machine,
    "equal": partial(_equal, ("captured",)),
    "speed": partial(_speed, ("eager", "captured")),
    "usual": _usual,
    "memory": _memory,
    "workers": _workers,
    "search": _search,
    "equal-compiled": partial(_equal, ("compiled",)),
    "speed-compiled": partial(_speed, ("compiled", "compiled and captured")),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), help="parts")
    parser.add_argument("--cpu", action="store_true", help="tiny, to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
