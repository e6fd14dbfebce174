"""How fast each convolution of a step is, beside a large matrix product: where arithmetic is lost.

    python -m benchmarks.convolutions [--recipe cpu] [--repeats 7]

Forward pass, gradient of the input and gradient of the weights of every convolution with 3x3
filters, one at a time on random numbers, in the memory format and precision of a training.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.clock import seconds_of
from benchmarks.images import training_images
from benchmarks.machine import head
from train_core.config import TrainConfig, load_recipe
from train_core.device import keep_freed_memory, resolve_precision
from train_core.engine import EnginePool
from train_core.images import ImageData

_SIDE = 2048


def main() -> None:
    """Measure and print a line per convolution."""
    options = _options()
    keep_freed_memory()
    data, config = training_images(None), load_recipe(options.recipe)
    dtype = resolve_precision(config.precision, data.device)
    matrix = torch.randn(_SIDE, _SIDE, device=data.device).to(dtype)
    product = _seconds(lambda: matrix @ matrix, data, options.repeats)
    print(f"{head()}\ntraining: {config.describe()}, medians, n = {options.repeats}")
    print(f"product of {_SIDE} x {_SIDE} matrices: {2 * _SIDE**3 / product / 1e9:,.0f} GFLOP/s")
    print("channels     side   GFLOP   forward       input's gradient   weights' gradient")
    for convolution, x in _convolutions(config, data):
        gflop, times = _times(convolution, x.to(dtype), data, options.repeats)
        cells = [f"{1e3 * t:6.2f} ms {gflop / t:6,.0f} GFLOP/s" for t in times]
        channels = f"{convolution.in_channels} to {convolution.out_channels}"
        print(f"{channels:12} {x.shape[-1]:4}  {gflop:6.3f}  {'  '.join(cells)}")


def _convolutions(config: TrainConfig, data: ImageData) -> list[tuple[nn.Conv2d, Tensor]]:
    """Every convolution of the network with what comes into it in a training."""
    engine = EnginePool(data).engine(config)
    engine.start(config)
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    found = [m for m in engine.average.modules() if isinstance(m, nn.Conv2d)]
    hooks = [
        m.register_forward_hook(lambda m, given, _: seen.append((m, given[0]))) for m in found
    ]
    with torch.no_grad():
        engine.average(data.normalisation(data.train.images[: config.batch_size]))
    for hook in hooks:
        hook.remove()
    return seen


def _times(
    convolution: nn.Conv2d, x: Tensor, data: ImageData, repeats: int
) -> tuple[float, list[float]]:
    """GFLOP of each pass, and seconds of the three."""
    weight = convolution.weight.to(x.dtype, memory_format=torch.channels_last)
    stride, padding = list(convolution.stride), [1, 1]
    y = torch.conv2d(x, weight, None, stride, padding)
    gradient = torch.randn_like(y)

    def backward(of_input: bool) -> None:
        torch.ops.aten.convolution_backward(
            *(gradient, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1),
            [of_input, not of_input, False],
        )

    gflop = 2e-9 * y.numel() * weight[0].numel()
    work = [
        lambda: torch.conv2d(x, weight, None, stride, padding),
        lambda: backward(True),
        lambda: backward(False),
    ]
    return gflop, [_seconds(one, data, repeats) for one in work]


def _seconds(work: Callable[[], object], data: ImageData, repeats: int) -> float:
    return statistics.median(seconds_of(work, data.device, repeats + 2)[2:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", default="cpu", help="whose convolutions [cpu]")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each [7]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
