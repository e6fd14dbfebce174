"""What a network costs, before it is trained: its parameters, and the latency of its export."""

import hashlib
import json
import statistics
import time
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from records.files import write_whole
from search.export.onnx import write_onnx
from train_core.config import TrainConfig
from train_core.engine.buffers import EngineShape, network_on
from train_core.images import ImageData, Normalisation
from train_core.model import TrainedModel

_WARM, _LEAST = 5, 20  # Runs before any is timed, and timed ones at least.
_SECONDS = 1.0  # In which they are timed, if that is enough for the least.


def costs_of(
    config: TrainConfig, data: ImageData, wanted: Collection[str], folder: Path
) -> dict[str, Any]:
    """Fields of `EpochRecord` for the network that a training makes.

    Args:
        config: The training.
        data: What it is trained on.
        wanted: `parameters`, `latency` (seconds) or both.
        folder: Where latencies are kept: the first measurement of a network holds for the study.
    """
    model = untrained(config, data)
    found: dict[str, Any] = {}
    if "parameters" in wanted:
        found["parameters"] = sum(p.numel() for p in model.network.parameters())
    if "latency" in wanted:
        found["latency"] = known_latency(model, folder)
    return found


def untrained(config: TrainConfig, data: ImageData) -> TrainedModel:
    """The network of a training before its first step, on the CPU.

    How long it takes does not depend on what it has learned.
    """
    cpu, shape = torch.device("cpu"), EngineShape.of(config, data)
    network = network_on(shape.network, cpu).eval().requires_grad_(False)
    filters = data.filters if shape.view == data.view(None) else data.filters_in(shape.view)
    network.reset(torch.Generator().manual_seed(0), filters.to(cpu))
    own = data.normalisation
    seen = Normalisation(own.mean.to(cpu), own.std.to(cpu), shape.view)
    return TrainedModel(network, shape.network, seen, data.classes, data.side)


def known_latency(model: TrainedModel, folder: Path) -> float:
    """Seconds for one picture, as they are in the folder, or measured and kept there.

    Networks of one shape, which see the same pixels, share one file: all trials of a study must
    be told the same, in whichever process and after however many restarts.
    """
    key = repr((model.shape, model.normalisation.view, model.image_size))
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
    if not path.is_file():
        measured = latency(model)
        if not path.is_file():  # Another worker may have been faster.
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps({"network": key, "seconds": measured}) + "\n")
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"])


def latency(model: TrainedModel) -> float:
    """Seconds that ONNX Runtime takes for one picture on one CPU thread: the median of many."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    with TemporaryDirectory() as folder:
        write_onnx(path := Path(folder) / "model.onnx", model, explained=False)
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    side = model.image_size
    picture = {"images": np.full((1, side, side, 3), 128, np.uint8)}
    for _ in range(_WARM):
        session.run(None, picture)
    taken: list[float] = []
    ends = time.perf_counter() + _SECONDS
    while len(taken) < _LEAST or time.perf_counter() < ends:
        began = time.perf_counter()
        session.run(None, picture)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
