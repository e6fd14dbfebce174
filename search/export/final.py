"""The `best/` folder: config, weights, ONNX, metrics, pictures and model card, all or nothing."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from records.outcome import columns
from records.toml import write_toml
from search.export.best import keep_old, write_metrics
from search.export.evaluation import calibration_error, evaluation
from search.export.onnx import export_onnx
from search.export.versions import versions
from search.finalize.calibrate import at_temperature
from train_core.config import RunConfig
from train_core.data.prepare import PreparedData
from train_core.device import device_name
from train_core.images import load_test_part
from train_core.model import TrainedModel, load_model, probabilities, save_model

_COMPARED = 512
"""Test images on which ONNX and PyTorch are compared."""

_SHOWN_WRONG, _SHOWN_PER_CLASS = 36, 8


@dataclass(frozen=True)
class Evaluation:
    """The one evaluation on the test set.

    Attributes:
        figures: "test" and, where mirroring makes sense, "test_tta", JSON-able.
        labels: `(N,)` int64.
        probabilities: `(N, classes)` float32, without test-time augmentation.
        images: `(N, side, side, 3)` uint8, on the CPU.
    """

    figures: dict[str, Any]
    labels: np.ndarray
    probabilities: np.ndarray
    images: Tensor


def evaluate(model: TrainedModel, data: PreparedData, device: torch.device) -> Evaluation:
    """Look at the test set: the only place in a search that does."""
    part = load_test_part(data, device)
    plain = probabilities(model.network, part.images, model.normalisation).cpu().numpy()
    labels = part.labels.cpu().numpy()
    figures = {"test": evaluation(labels, plain, data.classes)}
    if data.mirror:
        both = probabilities(model.network, part.images, model.normalisation, mirrored=True)
        figures["test_tta"] = evaluation(labels, both.cpu().numpy(), data.classes)
    return Evaluation(figures, labels, plain, part.images.cpu())


def export_best(
    folder: Path, run: RunConfig, model: TrainedModel, tested: Evaluation, facts: dict[str, Any]
) -> dict[str, Any]:
    """Write everything beside the final place, check it, and move it there in one step.

    A folder that is there already is kept under another name.

    Returns:
        The content of `metrics.json`.

    Raises:
        ExportMismatch: The ONNX file does not say what the model says.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="exporting-") as scratch:
        built = Path(scratch) / folder.name
        built.mkdir()
        device = device_name(next(model.network.parameters()).device)
        save_model(built / "model.safetensors", model)
        # What goes on is what was saved: a file that cannot be read would show here.
        model = load_model(built / "model.safetensors")
        worst = export_onnx(built / "model.onnx", model, tested.images[:_COMPARED])
        write_toml(built / "config.toml", run.model_dump())
        metrics = _metrics(run, model, tested, facts)
        metrics["onnx_difference"], metrics["device"] = worst, device
        write_metrics(built, metrics)
        arrays = {**_pictures(tested), **facts["augmented"]}
        np.savez_compressed(built / "evaluation.npz", **arrays)
        if facts["held_out"] is not None:
            np.savez_compressed(built / "validation.npz", **facts["held_out"])
        keep_old(folder)
        built.replace(folder)
    return metrics


def _metrics(
    run: RunConfig, model: TrainedModel, tested: Evaluation, facts: dict[str, Any]
) -> dict[str, Any]:
    trial, confirmed, data = facts["trial"], facts["confirmed"], facts["data"]
    return {
        "format": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "search": facts["search"],
        "trial": trial.number,
        "params": trial.params,
        "validation": {"accuracy": trial.accuracy, "n": facts["validation_count"]},
        "confirmed": confirmed,
        **tested.figures,
        "calibration": _calibration(tested, facts["temperature"]),
        "selection_gap": trial.accuracy - confirmed["mean"],
        "training": run.training.model_dump(),
        "curves": columns(facts["history"]),
        "data": {
            "name": data.name,
            "classes": list(data.classes),
            "image_size": data.image_size,
            "train": data.train.model_dump(),
            "test": data.test.model_dump(),
        },
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "versions": versions(),
    }


def _calibration(tested: Evaluation, temperature: float) -> dict[str, float]:
    """What the last layer was divided by, and the calibration error if it had not been."""
    before = at_temperature(tested.probabilities, 1 / temperature)
    return {
        "temperature": temperature,
        "error_before": calibration_error(tested.labels, before),
    }


def _pictures(tested: Evaluation) -> dict[str, np.ndarray]:
    """Labels and probabilities of all test images; the pictures that a report shows."""
    predicted = tested.probabilities.argmax(1)
    confidence = tested.probabilities.max(1)
    wrong = np.flatnonzero(predicted != tested.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_SHOWN_WRONG]
    examples = [
        np.flatnonzero(tested.labels == label)[:_SHOWN_PER_CLASS]
        for label in range(tested.probabilities.shape[1])
    ]
    rows = np.concatenate([worst, *examples])
    return {
        "labels": tested.labels,
        "probabilities": tested.probabilities.astype(np.float32),
        "picture_rows": rows,
        "pictures": tested.images.numpy()[rows],
        "wrong_count": np.array(len(worst)),
    }
