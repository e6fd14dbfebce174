"""What a search does before it plans: prepare the data, look at the machine, measure speed."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from records.machine import versions
from search.plan import Plan
from search.plan.clock import Speeds
from search.plan.ration import settled_for
from search.workers.events import Event, Progressed
from search.workers.interrupts import StopFlag
from search.workers.pool import WorkerPool
from search.workers.worker import Worker
from train_core.config import RecipeName, TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, prepare

if TYPE_CHECKING:
    from train_core.engine import EnginePool
    from train_core.images import ImageData

_GLANCE = 0.1  # Seconds that tell whether it is worth measuring longer, and
_LOOK = 0.5  # those that are: the first trial waits for them.
_MEASURED = 2.0  # Seconds in which the speed of features is measured, and
_WARM = 2  # signs of it that come before.
_TOLD = 2.0  # Seconds between two signs of how far something is.


@dataclass(frozen=True)
class Machine:
    """What trains here: the device in words, and the precision that "auto" stands for on it."""

    device: str
    gpus: int
    precision: str

    @property
    def recipe(self) -> RecipeName:
        """The recipe for those who name none."""
        return "fast" if self.gpus else "cpu"

    def facts(self) -> dict[str, Any]:
        """What a report says about this machine, JSON-able."""
        return {"device": self.device, "precision": self.precision, "versions": versions()}


@dataclass(frozen=True)
class LookAround:
    """The task of finding out what trains here."""

    def run(self, worker: Worker) -> Generator[Event, None, Machine | ValueError]:
        """Ask torch."""
        import torch

        from train_core.device import device_name, resolve_precision

        yield from ()
        try:
            device = worker.device
        except ValueError as mistake:  # Of the user, who named it.
            return ValueError(str(mistake))
        precision = str(resolve_precision("auto", device)).removeprefix("torch.")
        gpus = torch.cuda.device_count() if device.type == "cuda" else 0
        return Machine(device_name(device), gpus, precision)


def look_around(pool: WorkerPool) -> Machine:
    """What trains in this pool.

    Raises:
        ValueError: In one sentence, if the device that was asked for is not there.
    """
    result: Machine | ValueError = pool.call(LookAround())
    if isinstance(result, ValueError):
        raise result
    return result


@dataclass(frozen=True)
class CheckNetworks:
    """The task of building other people's networks, and of finding a training's weights."""

    plan: Plan

    def run(self, worker: Worker) -> Generator[Event, None, str | ValueError | None]:
        """The hash of the weights, None without any; the user's mistake, in one sentence."""
        from train_core.engine.curriculum import smaller_than
        from train_core.networks.weights.check import check_networks

        yield from ()
        plan = self.plan
        side = plan.training.resolution or plan.data.crop_size
        settings = {**plan.training.model_dump(), "image_size": side}
        classes, skips = len(plan.data.classes), plan.with_drop_path
        smaller = dict.fromkeys(plan.with_curriculum, smaller_than(side))
        try:
            file = check_networks(
                plan.networks, settings, classes, drop_path=skips, smaller=smaller
            )
        except ValueError as mistake:
            return ValueError(str(mistake))
        return None if file is None else file.facts.sha256


@dataclass(frozen=True)
class PlaceImages:
    """The task of loading the images, or finding that there is no room for them."""

    plan: Plan

    def run(self, worker: Worker) -> Generator[Event, None, str]:
        """Where they are and why, in words."""
        yield from ()
        return worker.engines(self.plan.data, self.plan.config.data).data.where


@dataclass(frozen=True)
class MeasureSpeed:
    """The task of measuring how many images per second the default configuration takes."""

    plan: Plan

    def run(self, worker: Worker) -> Generator[Event, None, Speeds]:
        """Train a few steps; nothing if the device cannot hold it. Buffers stay for the trials."""
        from train_core.device import out_of_memory

        yield from ()
        engines = worker.engines(self.plan.data, self.plan.config.data)
        features = training = None
        try:
            if "probe" in self.plan.methods:
                features = _features_per_second(probe_of(self.plan), engines.data)
            if self.plan.methods != ["probe"]:
                training = _images_per_second(self.plan, engines)
            return Speeds(training=training, features=features)
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error) is None:
                raise
        engines.clear()
        return Speeds(features=features)


def _images_per_second(plan: Plan, engines: "EnginePool") -> float:
    from train_core.fit import measure_speed

    speed = measure_speed(plan.training, engines, _GLANCE)
    if plan.training.epochs * plan.train_count < speed:
        return speed  # A training takes less than a second, however much less.
    return measure_speed(plan.training, engines, _LOOK)


def _features_per_second(config: TrainConfig, data: "ImageData") -> float | None:
    """Images of which the backbone finds the features in a second; None = all are known.

    Nothing is computed in vain: what is found is kept.
    """
    from train_core.engine import feature_steps

    seen: list[tuple[float, int]] = []
    for done in feature_steps(config, data):
        seen.append((time.perf_counter(), done))
        if seen[-1][0] - seen[0][0] > _MEASURED and len(seen) > _WARM:
            break
    # The first ones waited for the network to be built.
    (began, first), (ended, last) = seen[min(_WARM, len(seen)) - 1], seen[-1]
    return (last - first) / (ended - began) if last > first else None


def probe_of(plan: Plan) -> TrainConfig:
    """The recipe's probe, as the first trial has it."""
    given = settled_for(plan, 0, [], time.time())
    return plan.trial_config(given.values, 0)


@dataclass(frozen=True)
class ComputeFeatures:
    """The task of computing what probes need of all pictures, before the first one asks for it."""

    plan: Plan

    def run(self, worker: Worker) -> Generator[Event, None, None]:
        """Compute what the cache lacks, and say how far it is every few seconds."""
        from train_core.engine import feature_steps, features_needed

        config = probe_of(self.plan)
        data = worker.engines(self.plan.data, self.plan.config.data).data
        total, began, told = features_needed(config, data), time.perf_counter(), 0.0
        first: int | None = None
        for done in feature_steps(config, data):
            first = done if first is None else first
            now = time.perf_counter()
            if first < total and (now - told > _TOLD or done == total):
                told, rate = now, (done - first) / max(now - began, 1e-9)
                yield Progressed("features", done, total, rate or None)
            worker.share_cores()
            if worker.stopping:
                return


@dataclass(frozen=True)
class _Prepare:
    """The task of bringing the data into the cache."""

    config: DataConfig

    def run(self, worker: Worker) -> Generator[Event, None, PreparedData | ValueError]:
        yield from ()
        try:
            return prepare(self.config)
        except ValueError as mistake:  # Of the user, who named this data set.
            return ValueError(str(mistake))


def _import_ahead() -> None:
    """Import what the first opening of a database takes, which otherwise somebody waits for."""
    for name in ("alembic.command", "sqlalchemy.orm"):
        import_module(name)


def prepare_apart(config: DataConfig, stop: StopFlag) -> PreparedData:
    """`prepare`, in a process of its own: no process that searches sees test images.

    Raises:
        ValueError: In one sentence, if there is no such data set or it cannot be read.
        StopNow: `stop` was set meanwhile.
    """
    with WorkerPool(None, role="prepare", trains=False, stop=stop) as apart:
        apart.grow(1)
        _import_ahead()  # While that process imports what it needs itself.
        result: PreparedData | ValueError = apart.call(_Prepare(config))
    if isinstance(result, ValueError):
        raise result
    return result
