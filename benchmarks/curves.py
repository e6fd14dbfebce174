"""Record learning curves: points of a space, each trained to its end, for `benchmarks.replay`.

    python -m benchmarks.curves --dataset FOLDER [--space default] [--points 400]
        [--images 5000 20000] [--out curves.jsonl] [--processes 2] [--epochs N] [--limit SECONDS]

The points fill the space evenly (a scrambled Sobol sequence), the first one is the recipe's own.
All numbers of images have the same points with the same seeds; every fourth point is trained with
a second seed too, which shows what a seed changes. Trained networks are scored on the test images
as well: what a search cannot see, and the replay takes for the truth.

Each finished training is a line of the file. Stop it as you like; the same command goes on. When
all are there, the file is compressed beside itself. With `--space pretrained`, points are probes
and fine-tunings in turn, and all images are used.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Literal

import torch

from benchmarks.curve_file import Head, Training, append, begin, pack
from benchmarks.curve_points import UnitSuggester, sobol_units
from benchmarks.measure import head
from search.config import SearchConfig, SpaceConfig
from search.plan import Plan, settle
from search.plan.ration import settled_for
from space import Value
from studies.algorithms import seed_for
from train_core import Diverged, OutOfMemory
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import Part, load_test_part, load_training_data
from train_core.model import score

_REPEATED = 4  # Every so many points, one is trained with a second seed.


@dataclass(frozen=True)
class Job:
    """One training: which point, with how many images, for which time."""

    images: int
    index: int
    repeat: int

    @property
    def key(self) -> tuple[int, int, int]:
        """As that of its `Training`."""
        return self.images, self.index, self.repeat


@dataclass(frozen=True)
class _Bench:
    """What a process trains with: its plan and its data for each number of images."""

    plans: dict[int, Plan]
    engines: dict[int, EnginePool]
    test: Part
    points: int

    def train(self, job: Job) -> Training:
        """Train to the end, whatever that is."""
        plan, engines = self.plans[job.images], self.engines[job.images]
        params, config = configured(plan, job, self.points)
        scores, seconds = [], []
        state: Literal["complete", "diverged", "out of memory"] = "complete"
        try:
            for record in fit(config, engines.data, engines):
                assert record.score is not None
                scores.append(round(record.score, 5))
                seconds.append(round(record.seconds, 3))
        except Diverged:
            state = "diverged"
        except OutOfMemory:
            state = "out of memory"
        return Training(
            images=job.images, index=job.index, repeat=job.repeat, method=config.method,
            params=params, scores=scores, seconds=seconds, state=state,
            test=self._tested(config, engines) if state == "complete" else None,
        )  # fmt: skip

    def _tested(self, config: TrainConfig, engines: EnginePool) -> float | None:
        if config.method == "probe":  # It would have to see all test images anew.
            return None
        engine = engines.engine(config)
        precision = engine.shape.dtype
        said = score(engine.average, self.test, engines.data.normalisation, precision)
        return round(said[1], 5)


def configured(plan: Plan, job: Job, points: int) -> tuple[dict[str, Value], TrainConfig]:
    """The values by parameter name, and the whole config, of a training."""
    # Of a space with probes, every other point is one.
    turn = job.index % 2 * (plan.probes or 0)
    given = settled_for(plan, turn, [], 0.0)
    fixed = {**plan.fixed, **given.values}
    space = plan.space.at_most(given.at_most)
    chosen: dict[str, Value] = {}
    if job.index == 0 and plan.probes is None:
        named = space.names_of(fixed)[0]
        keys = {n: space.parameters[n].sets or n for n in named}
        chosen, point = dict(named), {keys[name]: value for name, value in named.items()}
    else:
        units = sobol_units(plan.space, points)[job.index]
        point = space.sample(UnitSuggester(units, chosen), fixed)
    config = plan.trial_config({**given.values, **point}, job.index)
    seed = seed_for(job.repeat, 2, job.index)
    return chosen, config.model_copy(update={"seed": seed})


def jobs(images: Sequence[int], points: int) -> Iterator[Job]:
    """All trainings, point by point, so that what was stopped early has whole points."""
    for index in range(points):
        for count in images:
            yield Job(count, index, 0)
            if index % _REPEATED == 0:
                yield Job(count, index, 1)


def plan_of(options: argparse.Namespace, images: int | None) -> Plan:
    """The plan of a search on so many training images; None = all."""
    data = DataConfig(
        dataset=options.dataset, root=options.root, train_size=images, split_seed=0, folds=1
    )
    pretrained = options.space == "pretrained"
    config = SearchConfig(
        data=data,
        recipe="pretrained" if pretrained else options.recipe,
        trials=options.points,
        probes=options.points // 2 if pretrained else None,
        training={} if options.epochs is None else {"epochs": options.epochs},
        space=SpaceConfig(name=options.space),
    )
    return settle(config, prepare(data), "cpu")


def _plans(options: argparse.Namespace) -> dict[int, Plan]:
    """Number of training images -> plan."""
    sizes = [None] if options.space == "pretrained" else options.images
    return {plan.train_count: plan for plan in (plan_of(options, size) for size in sizes)}


def record(options: argparse.Namespace) -> None:
    """Train what the file does not have yet."""
    plans = _plans(options)
    done = begin(options.out, _head(plans))
    known = {training.key for training in done}
    missing = [job for job in jobs(list(plans), options.points) if job.key not in known]
    print(f"{len(done)} trainings are there, {len(missing)} to go", file=sys.stderr)
    with ProcessPoolExecutor(
        options.processes, get_context("spawn"), _prepare, (options, os.cpu_count())
    ) as pool:
        try:
            complete = _follow(pool, missing, options)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("stopped; the same command goes on", file=sys.stderr)
            return
    if complete:
        print(f"complete: {pack(options.out)}")


def _follow(
    pool: ProcessPoolExecutor, missing: Sequence[Job], options: argparse.Namespace
) -> bool:
    """Write what ends, and begin something else, until all is done or the time is over."""
    ends = time.monotonic() + options.limit
    waiting, running = iter(missing), set[Future[Training]]()
    written = 0
    while True:
        while len(running) < options.processes and time.monotonic() < ends:
            if (job := next(waiting, None)) is None:
                break
            running.add(pool.submit(_train, job))
        if not running:
            return written == len(missing)
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for training in (future.result() for future in ended):
            append(options.out, training)
            written += 1
            print(_line(training, written, len(missing)), file=sys.stderr, flush=True)


def _line(training: Training, written: int, total: int) -> str:
    last = f"{training.scores[-1]:.2%}" if training.scores else "-"
    test = "" if training.test is None else f", test {training.test:.2%}"
    return (
        f"{written}/{total}: point {training.index}, {training.images} images, repeat "
        f"{training.repeat}: {training.state}, {last}{test}, {sum(training.seconds):.0f} s"
    )


def _head(plans: dict[int, Plan]) -> Head:
    plan = next(iter(plans.values()))
    return Head(
        dataset=plan.data.name,
        sha256=plan.data.train.sha256,
        recipe=plan.recipe,
        space=plan.space,
        fixed={k: v for k, v in plan.fixed.items() if k != "seed"},
        epochs={images: each.training.epochs for images, each in plans.items()},
        validation=plan.validation_count,
        about=head(),
    )


_bench: list[_Bench] = []  # That of this process.


def _prepare(options: argparse.Namespace, cores: int | None) -> None:
    """Load the data of a process, which ends when the one that began it does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, (cores or 1) // options.processes))
    keep_freed_memory()
    _load(options)


def _load(options: argparse.Namespace) -> None:
    device, plans = pick_device(), _plans(options)
    engines = {
        images: EnginePool(load_training_data(plan.data, plan.config.data, device))
        for images, plan in plans.items()
    }
    test = load_test_part(next(iter(plans.values())).data, device)
    _bench[:] = [_Bench(plans, engines, test, options.points)]


def _train(job: Job) -> Training:
    return _bench[0].train(job)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", required=True, help="a data set or a folder")
    parser.add_argument("--root", default="data", help="folder of the cache of images [data]")
    parser.add_argument("--space", default="default", help="default, extended or pretrained")
    parser.add_argument("--recipe", default="cpu", help="recipe, but for pretrained [cpu]")
    parser.add_argument("--points", type=int, default=400, help="points of the space [400]")
    parser.add_argument("--images", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--epochs", type=int, default=None, help="of all [the recipe's]")
    parser.add_argument("--out", type=Path, default=Path("curves.jsonl"), help="[curves.jsonl]")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once [2]")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds [no limit]")
    return parser.parse_args()


if __name__ == "__main__":
    record(_options())
