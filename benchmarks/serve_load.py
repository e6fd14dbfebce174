"""The web service under load, against the handler that most people write.

    python -m benchmarks.serve_load runs/x/best [--pictures FOLDER] [--seconds 60] [--short 8]

Requests with one picture each, over 1, 8 and 64 connections, each with one request at a time; the
client runs on the same machine and takes its share of the cores from everybody alike. `serve`
gets `--seconds` with 64 connections and `--short` otherwise. Memory is read before, halfway and
after.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.machine import head
from benchmarks.serve_client import Load, press, upload

_CLIENTS = (1, 8, 64)
_COMMANDS = {
    "serve": (["-m", "serve.run", "--port", "0", "--model"], "/api/predict"),
    "Flask + PyTorch": (["-m", "benchmarks.serve_peer"], "/predict"),
    "waitress + PyTorch": (["-m", "benchmarks.serve_peer", "--waitress"], "/predict"),
}


def main() -> None:
    """Load one after the other, and print what came of it."""
    options = _options()
    pictures = _pictures(options.pictures)
    print(f"{head()}\npictures: {len(pictures)} of {options.pictures or 'noise'}, JPEG")
    print(f"start of serve until it answers: {_starts(options.best)}")
    speeds: dict[tuple[str, int], float] = {}
    for name in options.only:
        for clients in _CLIENTS:
            seconds = options.seconds if (name, clients) == ("serve", 64) else options.short
            with serving(name, options.best) as (process, address):
                load = _measured(name, address, pictures, clients, seconds, process)
            speeds[name, clients] = load.per_second
    for name in options.only[1:]:
        ratios = [speeds["serve", n] / speeds[name, n] for n in _CLIENTS]
        print(f"serve / {name}: " + ", ".join(f"{r:.1f}" for r in ratios) + " (1, 8, 64 clients)")


def _measured(
    name: str,
    address: tuple[str, int],
    pictures: list[bytes],
    clients: int,
    seconds: float,
    process: psutil.Process,
) -> Load:
    requests = [upload(picture, _COMMANDS[name][1]) for picture in pictures]
    press(address, requests, clients, 1.0)  # To get warm.
    memory = [_mebibytes(process)]
    load = press(address, requests, clients, seconds / 2)
    memory.append(_mebibytes(process))
    second = press(address, requests, clients, seconds / 2)
    memory.append(_mebibytes(process))
    load.seconds += second.seconds
    load.latencies += second.latencies
    for error, count in second.errors.items():
        load.errors[error] = load.errors.get(error, 0) + count
    p50, p95, p99 = (1000 * load.percentile(share) for share in (0.5, 0.95, 0.99))
    print(
        f"{name:19}{clients:3} clients {load.per_second:7,.0f} requests/s   p50 {p50:6.1f}  p95 "
        f"{p95:6.1f}  p99 {p99:6.1f} ms   {len(load.latencies):6} answers, errors "
        f"{load.errors or 0}, {load.seconds:.0f} s, memory {' '.join(f'{m:.0f}' for m in memory)} "
        f"MiB",
        flush=True,
    )
    return load


@contextmanager
def serving(name: str, best: Path) -> Iterator[tuple[psutil.Process, tuple[str, int]]]:
    """A server that answers, its process and its address."""
    words, _ = _COMMANDS[name]
    command = [sys.executable, *words, str(best)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        try:
            yield psutil.Process(process.pid), ("127.0.0.1", int(found[1]))
        finally:
            process.terminate()


def _starts(best: Path) -> str:
    """Seconds from the command to the first answer, the median of five."""
    request, times = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []
    for _ in range(5):
        began = time.perf_counter()
        with serving("serve", best) as (_, address):
            press(address, [request], 1, 0)
            times.append(time.perf_counter() - began)
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f}, n = 5)"


def _mebibytes(process: psutil.Process) -> float:
    """Of all its processes; what they share counts for each."""
    everybody = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in everybody)) / (1 << 20)


def _pictures(folder: Path | None) -> list[bytes]:
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[::97][:64]]
    random, found = np.random.default_rng(0), []
    for _ in range(64):
        written = BytesIO()
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(written, "JPEG", quality=95)
        found.append(written.getvalue())
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path, help="an exported folder")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG files [noise of 32x32]")
    parser.add_argument("--seconds", type=float, default=60, help="for serve, 64 clients [60]")
    parser.add_argument("--short", type=float, default=8, help="for the others [8]")
    parser.add_argument("--only", nargs="+", choices=_COMMANDS, default=list(_COMMANDS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
