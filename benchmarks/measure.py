"""What the benchmarks share: a clock, the machine in words, images, the memory of processes."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import psutil
import torch

from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import device_name, pick_device, synchronize
from train_core.images import ImageData, Part, load_training_data

ROOT = Path(__file__).parents[1]
"""Where commands run, so that they find the packages."""

COUNT = 12_800
"""Images per epoch, unless something else is asked for."""

_INTERVAL = 0.5
"""Seconds between two readings of the memory, at least."""

_SHARE = 0.02
"""Share of a core that reading may take: the kernel walks through all pages of all processes, and
many of them are read less often, so that nobody is slowed down by being watched."""


def head() -> str:
    """Hardware and versions, two lines."""
    packages = [f"{p} {found}" for p in ("torch", "optuna") if (found := _version(p))]
    return (
        f"hardware: {device_name(pick_device())}\n"
        f"versions: Python {platform.python_version()}, {', '.join(packages)}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Median, least and largest of some figures, for instance "7,207 (7,101 to 7,300)"."""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Seconds of each of several times; the first ones also choose kernels and warm caches."""
    times = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        # The clock is read when the device has done its work.
        synchronize(device)
        times.append(time.perf_counter() - started)
    return times


def training_images(dataset: str | None, count: int = COUNT) -> ImageData:
    """Images of a data set without a validation part, or noise: both go through equally fast.

    The noise is a little brighter from class to class, so that a loss has somewhere to go.
    """
    device = pick_device()
    if dataset is not None:
        config = DataConfig(dataset=dataset, train_size=count)
        return load_training_data(prepare(config), config, device)
    part = Part.of(*noise(count), device)
    return ImageData(part, None, tuple("0123456789"), mirror=True)


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `(count, 32, 32, 3)` uint8 of ten classes, and their labels."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 10
    images = random.integers(0, 150, (count, 32, 32, 3), dtype=np.uint8)
    images += (10 * labels).astype(np.uint8)[:, None, None, None]
    return images, labels


@dataclass(frozen=True)
class Watched:
    """A command that ran.

    Attributes:
        started: In seconds since 1970.
        seconds: How long it ran.
        memory: When (in seconds since 1970) and how much (in bytes), twice a second or less.
    """

    started: float
    seconds: float
    memory: tuple[tuple[float, int], ...]

    def peak(self, until: float = float("inf")) -> int:
        """The most bytes at any moment until then."""
        return max((held for moment, held in self.memory if moment <= until), default=0)


def watch(command: list[str]) -> Watched:
    """Run a command in the project's folder; what it prints goes to stderr.

    Raises:
        RuntimeError: In one sentence, if it fails.
    """
    started, memory = time.time(), []
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=sys.stderr) as process:
        while process.poll() is None:
            memory.append((time.time(), _held(process.pid)))
            reading = time.time() - memory[-1][0]
            try:
                process.wait(max(_INTERVAL, reading / _SHARE))
            except subprocess.TimeoutExpired:
                continue
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Watched(started, time.time() - started, tuple(memory))


def environment() -> dict[str, str]:
    """For processes that run in `ROOT`, or in a folder of their own, as Ray's do."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Whoever reads a benchmark did not agree to be counted by others.
    return {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}


def _held(pid: int) -> int:
    """Bytes of a process and all its descendants, shared pages shared out among their holders."""
    try:
        parent = psutil.Process(pid)
        return sum(_own(process) for process in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _own(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    # It ended since it was listed.
    except (psutil.NoSuchProcess, ProcessLookupError):
        return 0
