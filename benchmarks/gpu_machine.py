"""Part `machine` of `benchmarks.gpu_check`: what it runs on, and what that can do at most."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu_part import REPEATS, Row, Setting
from train_core.device import device_name, pick_device, synchronize

_PACKAGES = ("torch", "torchvision", "triton", "numpy", "pydantic", "typer", "optuna", "onnx")


def machine(setting: Setting) -> Iterator[Row]:
    """Names and versions; then a large matrix product and a large copy, as ceilings."""
    device = pick_device()
    yield Row(device_name(device), more={"processors": os.cpu_count() or 0, **_driver()})
    yield Row(f"Python {platform.python_version()}", more={p: _version(p) for p in _PACKAGES})
    if device.type == "cuda":
        cudnn = str(torch.backends.cudnn.version())
        yield Row("libraries", more={"CUDA": str(torch.version.cuda), "cuDNN": cudnn})
    yield Row("matrix product, bf16", "TFLOP/s", matmul_rates(device, setting))
    yield Row("copy, bytes read and written", "GB/s", _copy_rates(device, setting))


def matmul_rates(device: torch.device, setting: Setting) -> tuple[float, ...]:
    """TFLOP/s of a large product of random bfloat16 matrices."""
    side = 128 if setting.smoke else 8192
    # Zeros would go faster than anything real.
    left, right = (torch.randn(2, side, side, device=device)).bfloat16()
    seconds = seconds_of(lambda: torch.mm(left, right), device, 10)
    return tuple(2 * side**3 / spent / 1e12 for spent in seconds)


def seconds_of(
    step: Callable[[], object], device: torch.device, times: int, repeats: int = REPEATS
) -> tuple[float, ...]:
    """Seconds of one step, from several runs of `times` steps after a warm-up."""
    for _ in range(3):
        step()
    return tuple(_run_of(step, device, times) for _ in range(repeats))


def _run_of(step: Callable[[], object], device: torch.device, times: int) -> float:
    synchronize(device)
    started = time.perf_counter()
    for _ in range(times):
        step()
    synchronize(device)
    return (time.perf_counter() - started) / times


def _copy_rates(device: torch.device, setting: Setting) -> tuple[float, ...]:
    count = 2**20 if setting.smoke else 2**30
    here = torch.randint(0, 256, (count,), dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    seconds = seconds_of(lambda: there.copy_(here), device, 10)
    return tuple(2 * count / spent / 1e9 for spent in seconds)


def _driver() -> dict[str, str]:
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=20)
    return {"driver, power limit": done.stdout.strip()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not there"
