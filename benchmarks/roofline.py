"""How near a training step comes to what the processor can do: counted work, measured rates.

    python -m benchmarks.roofline [--recipe cpu] [--repeats 5]

The floor is the larger of two times: that of the convolutions and matrix products at the rate of
a large matrix product, and that of everything the step reads and writes at the rate of a large
copy. Nobody reaches both; the ratio says what is left to win. Then every convolution alone, on
random numbers: forward pass, gradient of the input, gradient of the weights.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import head, seconds_of, training_images
from train_core.config import TrainConfig, load_recipe
from train_core.device import keep_freed_memory, resolve_precision
from train_core.engine import Engine, EnginePool
from train_core.fit import measure_speed
from train_core.images import ImageData

_VIEWS = {
    "view",
    "permute",
    "expand",
    "select",
    "slice",
    "transpose",
    "reshape",
    "as_strided",
    "t",
}
"""Operations that move nothing."""


def main() -> None:
    """Count, measure and print."""
    options = _options()
    keep_freed_memory()
    data, config = training_images(None), load_recipe(options.recipe)
    engines, dtype = EnginePool(data), resolve_precision(config.precision, data.device)
    engine = engines.engine(config)
    assert isinstance(engine, Engine)
    engine.start(config)
    engine.shuffle()
    counted = _counted(engine)
    speeds = [measure_speed(config, engines, 3.0) for _ in range(options.repeats)]
    step = config.batch_size / statistics.median(speeds)
    print(f"{head()}\ntraining: {config.describe()}, n = {options.repeats}")
    print(_floor(*counted, step, _rates(data, dtype)))
    print("\nchannels     side   GFLOP   forward       input's gradient   weights' gradient")
    for convolution, x in _convolutions(engine, config):
        gflop, passes = _passes(convolution, x.to(dtype))
        times = [_seconds(one, data, options.repeats) for one in passes]
        cells = "  ".join(f"{1e3 * t:6.2f} ms {gflop / t:6,.0f} GFLOP/s" for t in times)
        channels = f"{convolution.in_channels} to {convolution.out_channels}"
        print(f"{channels:12} {x.shape[-1]:4}  {gflop:6.3f}  {cells}")


def _counted(engine: Engine) -> tuple[int, int]:
    """Operations of one step, and the bytes that it reads and writes."""
    with FlopCounterMode(display=False) as flops:
        engine.run_steps(1)
    with _Moved() as moved:
        engine.run_steps(1)
    return flops.get_total_flops(), moved.bytes


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


def _floor(flops: int, moved: int, step: float, rates: tuple[float, float]) -> str:
    arithmetic, memory = flops / rates[0], moved / rates[1]
    return (
        f"counted per step: {flops / 1e9:.2f} GFLOP, {moved / 1e6:.0f} MB read and written\n"
        f"measured rates: {rates[0] / 1e12:.3f} TFLOP/s, {rates[1] / 1e9:.1f} GB/s\n"
        f"arithmetic alone: {1e3 * arithmetic:.1f} ms, memory alone: {1e3 * memory:.1f} ms\n"
        f"a step takes {1e3 * step:.1f} ms: {step / max(arithmetic, memory):.2f} times the "
        f"larger, {step / (arithmetic + memory):.2f} times both one after the other"
    )


def _convolutions(engine: Engine, config: TrainConfig) -> list[tuple[nn.Conv2d, Tensor]]:
    """Every convolution of the network with what comes into it in a training."""
    inputs: list[tuple[nn.Conv2d, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, given, _: inputs.append((m, given[0])))
        for module in engine.average.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        images = engine.data.train.images[list(range(config.batch_size))]
        engine.average(engine.data.normalisation(images))
    for hook in hooks:
        hook.remove()
    return inputs


def _passes(convolution: nn.Conv2d, x: Tensor) -> tuple[float, Iterator[Callable[[], object]]]:
    """GFLOP of each pass of a convolution with 3x3 filters, and the three passes."""
    weight = convolution.weight.to(x.dtype, memory_format=torch.channels_last)
    stride, padding = list(convolution.stride), [1, 1]
    y = torch.conv2d(x, weight, None, stride, padding)
    gradient = torch.randn_like(y)

    def backward(of_input: bool) -> None:
        torch.ops.aten.convolution_backward(
            *(gradient, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1),
            [of_input, not of_input, False],
        )

    passes = (
        lambda: torch.conv2d(x, weight, None, stride, padding),
        lambda: backward(True),
        lambda: backward(False),
    )
    return 2e-9 * y.numel() * weight[0].numel(), iter(passes)


def _seconds(work: Callable[[], object], data: ImageData, repeats: int) -> float:
    return statistics.median(seconds_of(work, data.device, repeats + 2)[2:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", default="cpu", help="whose step [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each [5]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
