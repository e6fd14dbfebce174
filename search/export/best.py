"""The `best/` folder: config, weights, ONNX, metrics, pictures and model card, all or nothing."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from records.metrics import Metrics
from records.toml import write_toml
from search.export.card import describe
from search.export.evaluation import Tested, shown_pictures
from search.export.onnx import export_onnx
from train_core.config import RunConfig
from train_core.model import TrainedModel, load_model, save_model

_COMPARED = 512
"""Test images on which ONNX and PyTorch are compared."""


@dataclass(frozen=True)
class FinishedModel:
    """What a `best/` folder is made of.

    Attributes:
        run: The training, with its data.
        model: What came out of it.
        tested: Its evaluation on the test images.
        metrics: All but the difference between ONNX and PyTorch.
        augmented: Arrays that show what augmentation does.
        held_out: Labels and predictions for choosing thresholds; None = there are none.
    """

    run: RunConfig
    model: TrainedModel
    tested: Tested
    metrics: Metrics
    augmented: Mapping[str, Any]
    held_out: Mapping[str, Any] | None


def export_best(folder: Path, finished: FinishedModel) -> Metrics:
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
        save_model(built / "model.safetensors", finished.model)
        # What goes on is what was saved: a file that cannot be read would show here.
        model = load_model(built / "model.safetensors")
        worst = export_onnx(built / "model.onnx", model, finished.tested.images[:_COMPARED])
        write_toml(built / "config.toml", finished.run.model_dump())
        metrics = finished.metrics.model_copy(update={"onnx_difference": worst})
        describe(built, metrics)
        arrays: dict[str, Any] = {**shown_pictures(finished.tested), **finished.augmented}
        np.savez_compressed(built / "evaluation.npz", **arrays)
        if finished.held_out is not None:
            np.savez_compressed(built / "validation.npz", **finished.held_out)
        _keep_old(folder)
        built.replace(folder)
    return metrics


def _keep_old(folder: Path) -> None:
    """Move an earlier export out of the way: nothing that was made is lost."""
    if folder.exists():
        count = 1
        while (kept := folder.with_name(f"{folder.name}-{count}")).exists():
            count += 1
        folder.replace(kept)
