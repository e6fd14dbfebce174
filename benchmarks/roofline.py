"""How near a training step comes to what the processor can do: counted work, measured rates.

    python -m benchmarks.roofline [--recipe cpu] [--repeats 5]

The floor is the larger of two times: that of the convolutions and matrix products at the rate of
the best one of a few large matrix products here, and that of everything the step reads and writes
at the rate of a large copy. Nobody reaches both; the ratio says what is left to win.
"""

import argparse
import statistics
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import seconds_of
from benchmarks.images import training_images
from benchmarks.machine import head
from train_core.config import load_recipe
from train_core.device import keep_freed_memory, resolve_precision
from train_core.engine import EnginePool
from train_core.fit import measure_speed
from train_core.images import ImageData

_VIEWS = (
    "view",
    "permute",
    "expand",
    "select",
    "slice",
    "transpose",
    "reshape",
    "as_strided",
    "t",
)
"""Operations that move nothing."""


def main() -> None:
    """Count, measure and print."""
    options = _options()
    keep_freed_memory()
    data, config = training_images(None), load_recipe(options.recipe)
    engines = EnginePool(data)
    engine = engines.engine(config)
    engine.start(config)
    engine.shuffle()
    with FlopCounterMode(display=False) as flops:
        engine.run_steps(1)
    with _Moved() as moved:
        engine.run_steps(1)
    speeds = [measure_speed(config, engines, 3.0) for _ in range(options.repeats)]
    step = config.batch_size / statistics.median(speeds)
    dtype = resolve_precision(config.precision, data.device)
    print(f"{head()}\ntraining: {config.describe()}, n = {options.repeats}")
    print(_table(flops.get_total_flops(), moved.bytes, step, _rates(data, dtype)))


def _table(flops: int, moved: int, step: float, rates: tuple[float, float]) -> str:
    arithmetic, memory = flops / rates[0], moved / rates[1]
    floor = max(arithmetic, memory)
    return (
        f"counted per step: {flops / 1e9:.2f} GFLOP, {moved / 1e6:.0f} MB read and written\n"
        f"measured rates: {rates[0] / 1e12:.3f} TFLOP/s, {rates[1] / 1e9:.1f} GB/s\n"
        f"arithmetic alone: {1e3 * arithmetic:.1f} ms, memory alone: {1e3 * memory:.1f} ms\n"
        f"a step takes {1e3 * step:.1f} ms: {step / floor:.2f} times the larger, "
        f"{step / (arithmetic + memory):.2f} times both one after the other"
    )


class _Moved(TorchDispatchMode):
    """Adds up the bytes that every operation reads and writes, as if caches held nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.split(".")[-1].strip("_") not in _VIEWS:
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return result


def _rates(data: ImageData, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a large matrix product and bytes/s of a large copy, the best of several."""
    side, count = 2048, 2**26
    matrix = torch.randn(side, side, device=data.device).to(dtype)
    source = torch.zeros(count, device=data.device)
    target = torch.zeros_like(source)
    product = min(seconds_of(lambda: matrix @ matrix, data.device, 10))
    copy = min(seconds_of(lambda: target.copy_(source), data.device, 10))
    return 2 * side**3 / product, 2 * 4 * count / copy


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", default="cpu", help="whose step [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of the step [5]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
