"""What a GPU makes of convsearch, in one command of under ten minutes.

    python -m benchmarks.gpu_check [--only PART ...] [--reference FOLDER] [--cpu]

Speed is measured on noise of the size of CIFAR-10: it does not depend on what images show. A part
that fails is named and makes the exit code 1; the others run all the same. What cannot run here,
or not in time, is skipped with a line: `search` needs all that the project needs, and `reference`
a clone of https://github.com/KellerJordan/cifar10-airbench, whose scripts run as they are. `--cpu`
runs every part, tiny, on the processor, to see that it runs: its figures mean nothing.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image
from torch.utils.benchmark import Timer

from benchmarks.airbench import published_speeds
from benchmarks.measure import ROOT, environment, head, noise, spread, training_images
from benchmarks.workers import together
from train_core.config import TrainConfig, load_recipe
from train_core.engine import Engine, EnginePool
from train_core.fit import fit

_LAST_START, _END = 450.0, 570.0
"""Seconds after which nothing is started any more, since compiling a shape takes up to a minute;
and after which what other processes do is ended."""

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
        batches: Batch sizes; what needs one takes the last, the recipe's.
        seconds: Of a measurement of speed, at least.
        trainings: After which memory must not have grown.
        trials: Of the search.
        training: Keys of `TrainConfig` in place of the recipe's.
        reference: The folder of the published scripts.
        started: When the clock began.
        speeds: Way -> images/s that were measured with the last batch size.
    """

    images: int = 50_000
    batches: tuple[int, ...] = (128, 256, 512, 1024)
    seconds: float = 0.5
    trainings: int = 50
    trials: int = 100
    training: dict[str, Any] = field(default_factory=dict)
    reference: Path | None = None
    started: float = field(default_factory=time.monotonic)
    speeds: dict[str, float] = field(default_factory=dict)

    def config(self, batch: int, way: str, **keys: Any) -> TrainConfig:
        """Recipe `fast`, calm enough that noise cannot make it diverge."""
        recipe = load_recipe("fast")
        changes = {"lr": recipe.lr / 10, "batch_size": batch, **self.training, **_WAYS[way]}
        return recipe.model_copy(update=changes | keys)

    def need_time(self) -> None:
        """Skip what comes if the time is over."""
        if time.monotonic() - self.started > _LAST_START:
            raise Skipped("the time is over, --only runs a part alone")

    @property
    def left(self) -> float:
        """Seconds until everything has to be over, at least 1."""
        return max(1.0, self.started + _END - time.monotonic())


_TINY = partial(Sizes, 256, (16, 32), 0.02, 6, 1, {"width": 8, "epochs": 2})


def main() -> int:
    """Run the parts; every line begins with the part's name."""
    options = _options()
    if options.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        sys.stderr.write("error: gpu_check needs a CUDA device (--cpu tries it without one)\n")
        return 2
    sizes = _TINY() if options.cpu else Sizes()
    sizes, failed = replace(sizes, reference=options.reference), False
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
            config = sizes.config(sizes.batches[-1], way, precision="fp32", epochs=3, dropout=0.1)
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
        speeds = [steps * batch / seconds for seconds in times]
        sizes.speeds[way] = statistics.median(speeds)
        yield f"batch {batch:4}, {way:21} {spread(speeds)} images/s, at most {peak:,.0f} MiB"
        del engine, timer
        engines.clear()


def _reference(name: str, sizes: Sizes) -> Iterator[str]:
    """A published script beside what `_speed` has measured."""
    if sizes.reference is None:
        raise Skipped("--reference says where a clone of cifar10-airbench is")
    script = next(sizes.reference.resolve().rglob(name), None)
    if script is None:
        raise Skipped(f"there is no {name} in '{sizes.reference}'")
    speeds = published_speeds(script, sizes.images, sizes.left)
    if not speeds:
        raise Skipped(f"{name} came to no second training in time")
    yield f"{name}: {spread(speeds)} images/s"
    for way, speed in sizes.speeds.items():
        yield f"{way}: {speed / statistics.median(speeds):.2f} times as many"


def _memory(sizes: Sizes) -> Iterator[str]:
    """Train the same shapes again and again, as the trials of a search do."""
    engines, held = EnginePool(training_images(None, min(sizes.images, 12_800))), []
    for number in range(sizes.trainings):
        batch = sizes.batches[number % len(sizes.batches)]
        for _ in fit(sizes.config(batch, "captured", epochs=1), engines.data, engines):
            pass
        on_device = torch.cuda.memory_reserved() or psutil.Process().memory_info().rss
        held.append(on_device / 2**20)
    early = held[2 * len(sizes.batches) - 1]
    yield (
        f"{early:,.0f} MiB after 2 captured trainings of each of {len(sizes.batches)} shapes, "
        f"{held[-1]:,.0f} MiB after {len(held)} in all"
    )
    if held[-1] > 1.1 * early:
        raise RuntimeError(f"memory must not grow by a tenth, but got {held} MiB after each")


def _workers(sizes: Sizes) -> Iterator[str]:
    config = sizes.config(sizes.batches[-1], "captured")
    alone = 0.0
    for count in (1, 2, 4):
        sizes.need_time()
        speed = together(count, 1, config, 8 * sizes.seconds, sizes.images)
        alone = alone or speed
        yield f"{count} on one device: {speed:,.0f} images/s together, {speed / alone:.2f} times"


def _pictures(folder: Path, count: int) -> None:
    """So many to train on and a fifth to test on, all different."""
    for number, (image, label) in enumerate(zip(*noise(count * 6 // 5), strict=True)):
        part = "train" if number < count else "test"
        path = folder / part / f"class {label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, compress_level=0)


def _search(sizes: Sizes) -> Iterator[str]:
    if missing := [name for name in _FOR_SEARCH if find_spec(name) is None]:
        raise Skipped(f"it needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        _pictures(Path(folder, "pictures"), sizes.images)
        keys = {"cuda_graph": True, **sizes.training}
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        config = Path(folder, "search.toml")
        config.write_text("\n".join([f'data = {{ root = "{folder}" }}', "[training]", *lines]))
        flags = {"dataset": f"{folder}/pictures", "config": config, "recipe": "fast",
                 "trials": sizes.trials, "study": "check", "runs": folder}  # fmt: skip
        command = [sys.executable, "-m", "search.run"]
        command += [f"--{name}={value}" for name, value in flags.items()]
        started = time.perf_counter()
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
                           timeout=sizes.left, check=True)  # fmt: skip
        seconds = time.perf_counter() - started
        log = Path(folder, "check", "search.log").read_text(encoding="utf-8")
        ended = Counter(re.findall(r": trial \d+ (\w+)", log))
        yield f"{dict(ended)} of {sizes.trials} trials; {seconds:.0f} s with all that followed"
        metrics = json.loads(Path(folder, "check", "best", "metrics.json").read_text())
    yield f"test accuracy on noise of ten brightnesses {metrics['test']['accuracy']:.1%}"


# The least important comes last.
_PARTS: dict[str, Callable[[Sizes], Iterator[str]]] = {
    "machine": _machine,
    "equal": partial(_equal, ("captured",)),
    "speed": partial(_speed, ("eager", "captured")),
    "reference": partial(_reference, "airbench94.py"),
    "search": _search,
    "memory": _memory,
    "workers": _workers,
    "equal-compiled": partial(_equal, ("compiled",)),
    "speed-compiled": partial(_speed, ("compiled", "compiled and captured")),
    "reference-compiled": partial(_reference, "airbench94_compiled.py"),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), help="parts")
    parser.add_argument("--reference", type=Path, help="a clone of cifar10-airbench")
    parser.add_argument("--cpu", action="store_true", help="tiny, to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
