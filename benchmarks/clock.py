"""How long something takes, with the device's work done when the clock is read."""

import time
from collections.abc import Callable

import torch

from train_core.device import synchronize


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Seconds of each of several times; the first ones also choose kernels and warm caches."""
    times = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return times
