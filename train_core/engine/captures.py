"""Captured steps: recorded once as CUDA graphs, which share stream and memory, and replayed."""

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol
from weakref import WeakSet

import torch

WARM_UP = 3
"""Steps before the capture: cuDNN tries its kernels in the first one, and libraries allocate their
workspaces, neither of which a graph may hold."""

Step = Callable[[], None]


class Captures(Protocol):
    """Something that records steps."""

    def record(self, step: Step, generator: torch.Generator) -> Step:
        """Record a step, and return what replays it.

        Args:
            step: Launches the kernels of one step. It must read and write tensors that stay where
                they are, must leave none behind, and must not wait for the device. It runs
                `WARM_UP` times first: what it counts or trains has to be set back afterwards.
            generator: Where its random numbers come from; a replay goes on where the last one
                ended. After an exception it is of no use any more.
        """
        ...


@cache
def captures_on(device: torch.device) -> Captures | None:
    """What records steps on this device, one for all engines of a process; None = nothing does."""
    return CudaGraphs(device) if device.type == "cuda" else None


class SharedPool:
    """The handle of the memory that captures share, as long as there are any.

    When the last of them is gone their memory goes too, and torch refuses the old handle. After a
    capture that failed, torch may take the memory for in use for ever (until 2.13 or so), or for
    still being recorded. So in both cases there is a new handle.

    Args:
        new: Makes a handle.
    """

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._sharing: WeakSet[Any] = WeakSet()
        self._handle: Any = None

    def handle(self) -> Any:
        """The one to capture with now."""
        if not self._sharing:
            self._handle = self._new()
        return self._handle

    def add(self, capture: object) -> None:
        """Another capture has this handle; it is forgotten when nobody else holds it."""
        self._sharing.add(capture)

    def abandon(self) -> None:
        """A capture has failed: what shares the memory keeps it, the next one gets another."""
        self._sharing = WeakSet()


class CudaGraphs:
    """Records steps as CUDA graphs.

    Source: whole-network capture and the sharing of memory in
    https://docs.pytorch.org/docs/stable/notes/cuda.html. Graphs may share memory if they are never
    replayed at once and none needs what another one left there: the engines of a process take
    turns, and a step leaves nothing behind but in the engine's own buffers. So all graphs together
    take the memory of the largest.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._pool = SharedPool(torch.cuda.graph_pool_handle)

    def record(self, step: Step, generator: torch.Generator) -> Step:
        """Record a step, and return what replays it; see `Captures`."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            # torch stays on the stream of a capture that fails; from here it comes back.
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    step()
                graph = torch.cuda.CUDAGraph()
                graph.register_generator_state(generator)
                self._capture(graph, step)
        finally:
            # What is freed now may still be in use there.
            current.wait_stream(self._stream)
        self._pool.add(graph)
        return graph.replay

    def _capture(self, graph: torch.cuda.CUDAGraph, step: Step) -> None:
        try:
            with torch.cuda.graph(graph, pool=self._pool.handle(), stream=self._stream):
                step()
        except BaseException:
            self._pool.abandon()
            raise
