"""Which device trains, in which precision, and whether it still can."""

import ctypes
import platform
import re
from pathlib import Path
from typing import NamedTuple

import torch

from records.machine.memory import free_memory
from records.words import storage
from train_core.config import DeviceName, ImagePlace, Precision

# Share of the free memory that images may take: the rest is for training, and for other programs.
_IMAGES_SHARE = 0.5
_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    # cuDNN says so when no algorithm's workspace fits.
    "unable to find an engine to execute this computation",
)


def pick_device(index: int = 0, wanted: DeviceName = "auto") -> torch.device:
    """The device for the worker with this index: GPUs in turn, else an Apple GPU, else the CPU.

    On a GPU, cuDNN is told to try its kernels at the first step of every shape and to go on with
    the fastest; a training has few shapes and many steps.

    Raises:
        ValueError: In one sentence, if there is no such device.
    """
    here = _devices()
    name = here[0] if wanted == "auto" else wanted
    if name not in here:
        raise ValueError(
            f"device must be auto or one of {', '.join(here)}, which this machine and this torch "
            f"have, but got '{name}'"
        )
    if name != "cuda":
        return torch.device(name)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", index % torch.cuda.device_count())
    # What is captured keeps some of its state on the current device, whatever it runs on.
    torch.cuda.set_device(device)
    return device


def _devices() -> list[str]:
    """The kinds of devices that are here, best first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(name for name, is_there in there.items() if is_there), "cpu"]


def has_float64(device: torch.device) -> bool:
    """Whether the device knows double precision at all."""
    return device.type != "mps"


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of the activations: what is asked for, or for `auto` what the processor has."""
    if precision == "auto":
        return torch.bfloat16 if has_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is in the hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False  # Some have it; nobody has tried.
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def device_name(device: torch.device) -> str:
    """The device in words, for instance "NVIDIA H200" or "CPU, 2 threads (AMD EPYC)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():  # Linux.
        named = re.search(r"^model name\s*:\s*(.*\S)", cpuinfo.read_text(encoding="utf-8"), re.M)
        model = named[1] if named else platform.machine()
    return f"CPU, {torch.get_num_threads()} threads ({model})"


def keep_freed_memory() -> None:
    """Tell the C library to keep large freed blocks instead of handing them back at every step.

    Otherwise every activation is mapped and faulted in anew, a tenth of a step on a CPU. Does
    nothing where the C library is not glibc.
    """
    # Elsewhere it cannot be asked for: Windows has no library without a name.
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_max, trim_threshold, top_pad = -4, -1, -2
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


class Placed(NamedTuple):
    """Where images are while networks train, and why, in words."""

    place: ImagePlace
    words: str


def place_images(
    size: int, device: torch.device, wanted: ImagePlace = "auto", workers: int | None = None
) -> Placed:
    """Where there is room for so many bytes of images: the first of device, host and cache.

    Args:
        size: In bytes.
        device: What trains; of a CPU, the host's memory is its own.
        wanted: A place that the user chose, whether there is room or not.
        workers: Processes on this machine that each hold these images; None = one per device.
    """
    free = _free(device, workers)
    names: dict[ImagePlace, str] = {
        "device": "in memory" if len(free) == 1 else "on the device",
        "host": "in the host's memory",
        "cache": "read from the cache while networks train",
    }
    place: ImagePlace
    if wanted != "auto":
        place = wanted if wanted == "cache" or wanted in free else "device"
        return Placed(place, f"{storage(size)} {names[place]}, as [workers] images says")
    full = []
    for place, left in free.items():
        if size <= left * _IMAGES_SHARE:
            break
        full.append(f"{storage(left)} free {names[place]}")
    else:
        place = "cache"
    why = f": more than half of the {' and of the '.join(full)}" if full else ""
    return Placed(place, f"{storage(size)} {names[place]}{why}")


def _free(device: torch.device, workers: int | None) -> dict[ImagePlace, int]:
    """Bytes of memory for each worker, the device's first; the host's is that of other devices."""
    if device.type != "cuda":
        return {"device": free_memory() // (workers or 1)}
    gpus = torch.cuda.device_count()
    count = workers or gpus
    # What torch has set aside is free for whatever it is asked for next.
    set_aside = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + set_aside
    return {"device": free // -(-count // gpus), "host": free_memory() // count}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work, for instance to measure its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_unused_memory(device: torch.device) -> None:
    """Give back what torch keeps of freed memory, for instance after running out of it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def still_works(device: torch.device) -> bool:
    """Whether the device answers: after some errors a GPU is lost for the rest of the process.

    So is its memory, for torch until 2.11, when a capture has failed: nothing can be given back.
    """
    try:
        synchronize(device)
        free_unused_memory(device)
    except RuntimeError:
        return False
    return True


def out_of_memory(error: BaseException) -> str | None:
    """What says, in one line, that memory is exhausted, on a GPU or on a CPU; None = nothing does.

    It need not be the exception itself. When memory runs out in the middle of a capture, ending
    the capture fails too ("operation failed due to a previous error during capture"), and what
    happened is only among the causes.
    """
    links: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or link in links:
            continue
        links.append(link)
        if _says_so(link):
            return str(link).partition("\n")[0] or type(link).__name__
        waiting += [link.__cause__, link.__context__]
    return None


def _says_so(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error) if isinstance(error, RuntimeError) else ""
    return any(words in message for words in _NO_MEMORY)
