"""Threads for one run of an exported network: pictures per second by batch size.

    python -m benchmarks.onnx_threads runs/x/best

On an idle machine: in the service and the commands, other threads decode pictures meanwhile.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.machine import head
from records.metrics import read_metrics

_WAYS = {"1 thread": (1, "0"), "2 threads": (2, "0"), "2 threads that spin": (2, "1")}


def main() -> None:
    """A line for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path, help="an exported folder")
    best = parser.parse_args().best
    side = read_metrics(best).data.image_size
    sessions = {way: _session(best / "model.onnx", *how) for way, how in _WAYS.items()}
    print(f"{head()}\npictures per second, median of 5")
    for batch in (1, 4, 16, 64, 256):
        images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
        speeds = [f"{way} {_speed(session, images):6,.0f}" for way, session in sessions.items()]
        print(f"batch {batch:3}: " + "   ".join(speeds), flush=True)


def _session(path: Path, threads: int, spin: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _speed(session: onnxruntime.InferenceSession, images: np.ndarray) -> float:
    runs = max(3, 400 // len(images))
    speeds = []
    for _ in range(6):  # The first one only warms up.
        began = time.perf_counter()
        for _ in range(runs):
            session.run(None, {"images": images})
        speeds.append(runs * len(images) / (time.perf_counter() - began))
    return statistics.median(speeds[1:])


if __name__ == "__main__":
    main()
