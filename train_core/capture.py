"""Two ways to spare the host: a step as one CUDA graph, and passes that are compiled."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_T = TypeVar("_T")

_SHAPES = 256
"""Shapes that may be compiled in one process; from torch's own limit of 8 on, a shape would
silently run uncompiled."""

WARM_UP = 3
"""Steps before the capture: cuDNN tries its kernels in the first one, and libraries allocate their
workspaces, neither of which a graph may hold."""


def capture(
    step: Callable[[], None], generator: torch.Generator, device: torch.device
) -> Callable[[], None]:
    """Record a step, and return what replays it.

    The step must read and write tensors that stay where they are, and must not wait for the
    device. It is run a few times first: whatever it counts or trains has to be set back then.

    Args:
        step: Launches the kernels of one step.
        generator: Where its random numbers come from; a replay goes on where the last one ended.
        device: A CUDA device.

    Source: the whole-network capture of https://docs.pytorch.org/docs/stable/notes/cuda.html.
    """
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph, stream=aside):
        step()
    return graph.replay


def compiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Compile a function of tensors, once for every network and batch size.

    Nothing that changes from training to training may be a Python number, or it is compiled again.
    """
    import torch._dynamo  # Takes seconds.

    torch._dynamo.config.recompile_limit = _SHAPES
    return torch.compile(function, dynamic=False)
