"""Parts of `benchmarks.gpu_check` about several trainings at once on one GPU."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import ClassVar

import torch

from benchmarks.gpu_images import random_images
from benchmarks.gpu_part import REPEATS, Row, Setting, attempt, needs_cuda
from benchmarks.gpu_steps import size_of, sized
from train_core.config import RecipeName, TrainConfig
from train_core.device import pick_device, synchronize
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.fit import measure_speed
from train_core.images import ImageData

_BATCH = 256

_RECIPES: tuple[RecipeName, ...] = ("cpu", "fast")

_PATIENCE = 60.0
"""Seconds that a process waits for the others before it takes them for dead."""


def processes(setting: Setting) -> Iterator[Row]:
    """Images per second of 1, 2 and 4 processes together; idle ones wait meanwhile."""
    if not setting.smoke:
        needs_cuda()
    counts = (1, 2) if setting.smoke else (1, 2, 4)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(max(counts))
    with ProcessPoolExecutor(max(counts), context, _Process.begin, (barrier, setting)) as pool:
        for way in ("eager",) if setting.smoke else ("cuda_graph", "eager"):
            for recipe in _RECIPES:
                for count in counts:
                    config = sized(recipe, setting, _BATCH, way)
                    # As many jobs as processes, and none ends before all have begun: one each.
                    answers = pool.map(partial(_Process.speeds, count, config), range(max(counts)))
                    together = tuple(map(sum, zip(*answers, strict=True)))
                    what = f"{size_of(config)}, {count} processes, {way}"
                    yield Row(what, "images/s", together)


class _Process:
    """What one process of `processes` keeps between measurements."""

    barrier: ClassVar[Barrier]
    setting: ClassVar[Setting]
    data: ClassVar[ImageData]

    @classmethod
    def begin(cls, barrier: Barrier, setting: Setting) -> None:
        """Bring the images to the device."""
        torch.set_num_threads(1)
        cls.barrier, cls.setting = barrier, setting
        cls.data = random_images(setting, pick_device())

    @classmethod
    def speeds(cls, count: int, config: TrainConfig, index: int) -> list[float]:
        """Images per second of every repeat; 0 where this process is not among the first."""
        engines, found, seconds = EnginePool(cls.data), [], 0.02 if cls.setting.smoke else 0.6
        if index < count:
            measure_speed(config, engines, 0.02)
        for _ in range(REPEATS):
            cls.barrier.wait(_PATIENCE)
            found.append(measure_speed(config, engines, seconds) if index < count else 0.0)
        cls.barrier.wait(_PATIENCE)
        engines.clear()
        return found


@dataclass(frozen=True)
class _Lane:
    """A captured training, and the stream that replays it."""

    engine: Engine
    stream: torch.cuda.Stream

    @classmethod
    def of(cls, config: TrainConfig, data: ImageData) -> "_Lane":
        """Capture the step; each has buffers and a stream of its own."""
        engine = Engine(EngineShape.of(config, data), data)
        engine.start(config)
        engine.shuffle()
        return cls(engine, torch.cuda.Stream(data.device))


def streams(setting: Setting) -> Iterator[Row]:
    """Images per second of 1, 2 and 4 captured trainings in one process, side by side."""
    needs_cuda()
    data = random_images(setting, pick_device())
    for recipe in _RECIPES:
        for count in (1, 2, 4):
            config = sized(recipe, setting, _BATCH, "cuda_graph")
            what = f"{size_of(config)}, {count} streams"
            yield from attempt(what, partial(_streamed, what, config, data, count))


def _streamed(what: str, config: TrainConfig, data: ImageData, count: int) -> list[Row]:
    lanes = [_Lane.of(config, data) for _ in range(count)]
    return [Row(what, "images/s", _side_by_side(lanes, config))]


def _side_by_side(lanes: list[_Lane], config: TrainConfig) -> tuple[float, ...]:
    once = _seconds(lanes, 20) / 20
    # The schedule ends after all epochs, and nothing may be replayed beyond it.
    left = config.epochs * lanes[0].engine.steps_per_epoch - 20
    steps = max(2, min(int(0.5 / once), left // REPEATS))
    images = len(lanes) * steps * config.batch_size
    return tuple(images / _seconds(lanes, steps) for _ in range(REPEATS))


def _seconds(lanes: list[_Lane], steps: int) -> float:
    device = lanes[0].engine.data.device
    synchronize(device)
    started = time.perf_counter()
    for _ in range(steps):
        for lane in lanes:
            with torch.cuda.stream(lane.stream):
                lane.engine.run_steps(1)
    synchronize(device)
    return time.perf_counter() - started
