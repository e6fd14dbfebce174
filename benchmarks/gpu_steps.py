"""Parts `speed` and `compile` of `benchmarks.gpu_check`: how fast is one step of one training."""

import gc
import time
from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_images import random_images
from benchmarks.gpu_machine import matmul_rates
from benchmarks.gpu_part import REPEATS, Row, Setting, attempt, median
from train_core.config import RecipeName, TrainConfig, load_recipe
from train_core.device import pick_device, synchronize
from train_core.engine import EnginePool
from train_core.fit import measure_speed
from train_core.images import ImageData
from train_core.networks import NetworkShape, build_network

WAYS = {
    "eager": {},
    "cuda_graph": {"cuda_graph": True},
    "compile": {"compile": True},
    "compile and cuda_graph": {"compile": True, "cuda_graph": True},
}
"""How a step may run, as keys of `TrainConfig`."""


def speed(setting: Setting, recipe: RecipeName) -> Iterator[Row]:
    """Images per second of a recipe's network at all batch sizes, eager and captured."""
    batches = (16, 32) if setting.smoke else (128, 256, 512, 1024, 2048)
    yield from _speeds(setting, [(recipe, batch) for batch in batches], ("eager", "cuda_graph"))


def compiled(setting: Setting) -> Iterator[Row]:
    """The same for compiled passes, alone and captured; the first of a shape really compiles."""
    cells: list[tuple[RecipeName, int]] = [("fast", 1024), ("cpu", 256), ("fast", 256)]
    ways = ("compile", "compile and cuda_graph")
    yield from _speeds(setting, cells[:1] if setting.smoke else cells, ways)


def _speeds(
    setting: Setting, cells: list[tuple[RecipeName, int]], ways: tuple[str, ...]
) -> Iterator[Row]:
    device = pick_device()
    data, ceiling = random_images(setting, device), median(matmul_rates(device, setting))
    seconds = 0.02 if setting.smoke else 0.3
    for (recipe, batch), way in product(cells, ways):
        config = sized(recipe, setting, batch, way)
        what = f"{size_of(config)}, {way}"
        if config.cuda_graph and device.type != "cuda":
            yield Row(what, more={"skipped": "needs a CUDA device"})
            continue
        yield from attempt(what, partial(_cell, what, config, data, ceiling, seconds))


def sized(recipe: RecipeName, setting: Setting, batch: int, way: str) -> TrainConfig:
    """A recipe at a batch size, calmed down so that noise for labels cannot make it diverge."""
    config = load_recipe(recipe)
    tiny = {"width": 8, "batch_size": min(batch, 32)} if setting.smoke else {}
    precision = {} if setting.smoke else {"precision": "bf16"}
    changed = {"batch_size": batch, "lr": config.lr / 10, "epochs": 16, **WAYS[way]}
    return config.model_copy(update={**changed, **precision, **tiny})


def size_of(config: TrainConfig) -> str:
    """The network and the batch size, for tables."""
    return f"width {config.width} depth {config.depth}, batch {config.batch_size}"


def _cell(
    what: str, config: TrainConfig, data: ImageData, ceiling: float, seconds: float
) -> list[Row]:
    """Speed, memory, and how long the first step takes, in which everything is set up."""
    _forget_peak(data.device)
    engines = EnginePool(data)
    more: dict[str, float | str] = {"first step, s": _first_step(config, engines)}
    speeds = tuple(measure_speed(config, engines, seconds) for _ in range(REPEATS))
    if data.device.type == "cuda":
        more["peak GB"] = torch.cuda.max_memory_allocated(data.device) / 1e9
    rate = median(speeds) * flops_per_image(config, data) / 1e12
    more |= {"TFLOP/s": rate, "% of matrix product": 100 * rate / ceiling}
    engines.clear()
    return [Row(what, "images/s", speeds, more)]


def _forget_peak(device: torch.device) -> None:
    # What refers to itself would otherwise keep memory of the last training.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _first_step(config: TrainConfig, engines: EnginePool) -> float:
    started = time.perf_counter()
    engine = engines.engine(config)
    engine.start(config)
    engine.shuffle()
    engine.run_steps(1)
    synchronize(engine.data.device)
    return time.perf_counter() - started


def flops_per_image(config: TrainConfig, data: ImageData) -> float:
    """Operations of forward and backward pass, two for every multiplication with an addition."""
    network = build_network(
        NetworkShape.of(config.network, config.model_dump(), len(data.classes))
    )
    network.reset(torch.Generator().manual_seed(0), data.filters.cpu())
    images = torch.zeros(2, 3, data.side, data.side)
    with FlopCounterMode(display=False) as counter:
        network.train()(images).sum().backward()
    return float(counter.get_total_flops() / len(images))
