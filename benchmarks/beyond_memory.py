"""More pictures than fit into memory: how much memory they take, and how fast trainings are.

    python -m benchmarks.beyond_memory FOLDER [--pictures 20000] [--side 256]

It makes pictures in FOLDER, prepares them, and trains a few steps on them in processes of their
own: with a limit on the address space that is below the size of the decoded pictures (torch alone
takes more than 3 GB of it), then without one, in memory and from the cache's file in turns.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import ROOT, environment, head, spread, watch
from records.words import storage
from train_core.config import ImagePlace, TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory
from train_core.engine import EnginePool
from train_core.fit import measure_speed
from train_core.images import load_training_data
from train_core.model import score

_PREPARE = "import sys; from train_core.data.prepare import DataConfig as D, prepare as p; "
_PREPARE += "p(D.model_validate_json(sys.argv[1]))"
_NO_SIZES = {"width": None, "depth": None}
_SECONDS, _SCORED = 10.0, 64  # Of training steps; validation pictures.


def main() -> None:
    """Make pictures, prepare them, train on them, and print what that took."""
    options = _options()
    side, count = options.side, options.pictures
    data, training = _settings(options)
    if options.measure:
        print(json.dumps(_train(data, training, options.measure, options.limit)))
        return
    _make_pictures(Path(data.dataset), count, side)
    size = count * side**2 * 3
    print(f"{head()}\n{count:,} pictures of {side} pixels, {storage(size)}")
    prepared = watch([sys.executable, "-c", _PREPARE, data.model_dump_json()])
    print(f"prepared in {prepared.seconds:.0f} s and {storage(prepared.peak())}, all processes")
    print(f"training: {training.describe()}")
    for way in ("cache", "device") if size > 3.5e9 else ():
        print(f"{way}, {storage(0.99 * size)} of address space: {_apart(way, int(0.99 * size))}")
    speeds: dict[str, list[float]] = {"device": [], "cache": []}
    for _ in range(options.repeats):
        for way, found in speeds.items():
            print(f"{way}: {(said := _apart(way))}")
            found.append(said["images/s"])
    for way, found in speeds.items():
        print(f"{way}: {spread(found, ',.1f')} images/s")


def _settings(options: argparse.Namespace) -> tuple[DataConfig, TrainConfig]:
    given: dict[str, object] = {
        "dataset": f"{options.folder}/pictures",
        "root": f"{options.folder}/data",
    }
    given |= {"image_size": options.side, "fit": "squash", "split_seed": 0}
    training = {"network": options.network, "batch_size": 8, "epochs": 1}
    training |= {"width": 4, "depth": 1} if options.network == "convnet" else _NO_SIZES
    return DataConfig.model_validate(given), TrainConfig.model_validate(training)


def _make_pictures(folder: Path, count: int, side: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:06d}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((side, side)).save(path, quality=85)


def _train(
    data: DataConfig, training: TrainConfig, way: ImagePlace, limit: int
) -> dict[str, float]:
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    keep_freed_memory()
    torch.set_num_threads(1)
    prepared, held = prepare(data), _peak()
    try:
        images = load_training_data(prepared, data, torch.device("cpu"), way)
        speed = measure_speed(training, engines := EnginePool(images), _SECONDS)
        engine, part = engines.engine(training), images.validation
        assert part is not None
        score(engine.average, part.subsample(_SCORED), engine.normalisation, engine.shape.dtype)
    except (MemoryError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return {"images/s": 0.0}
    return {"images/s": round(speed, 1), "MB before loading": held, "MB at most": _peak()}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def _apart(way: str, limit: int = 0) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.beyond_memory", *sys.argv[1:]]
    command += ["--measure", way, "--limit", str(limit)]
    done = subprocess.check_output(command, cwd=ROOT, env=environment(), text=True)
    said: dict[str, float] = json.loads(done.splitlines()[-1])
    return said


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=lambda path: Path(path).absolute(), help="to work in")
    parser.add_argument("--pictures", type=int, default=20_000, help="how many [20000]")
    parser.add_argument("--side", type=int, default=256, help="in pixels [256]")
    parser.add_argument("--network", default="convnet", help="what is trained [convnet]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way [3]")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
