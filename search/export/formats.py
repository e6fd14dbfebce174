"""A finished `best/` folder in the formats of other frameworks, each checked as it is written."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from search.export.int8 import Quantisation, quantisation, write_int8
from search.export.onnx import ExportMismatch, export_onnx, run_onnx
from search.export.tensorflow import run_tensorflow, write_tensorflow
from search.export.torch import run_torch, write_torch
from train_core.evaluate import probabilities
from train_core.weights import TrainedModel, load_model

TOLERANCE = 1e-3
"""How far a probability of another format may be from PyTorch's."""

COMPARED = 100
"""Test images to compare on, of those that the export kept; small data sets keep fewer."""


@dataclass(frozen=True)
class Reference:
    """The model, and what PyTorch predicts with it.

    Attributes:
        folder: The `best/` folder.
        model: On the CPU.
        images: `(N, side, side, 3)` uint8, test images, N at most `COMPARED`.
        probabilities: `(N, classes)` float32.
    """

    folder: Path
    model: TrainedModel
    images: np.ndarray
    probabilities: np.ndarray

    def compare(self, predicted: np.ndarray) -> str:
        """How far these probabilities are from PyTorch's, in words."""
        differences = np.abs(predicted - self.probabilities)
        same = int((predicted.argmax(1) == self.probabilities.argmax(1)).sum())
        return (
            f"against PyTorch on {len(predicted)} test images: probabilities differ by up to "
            f"{differences.max():.2g} ({differences.mean():.2g} on average), the same class for "
            f"{same}"
        )

    def check(self, path: Path, predicted: np.ndarray) -> list[str]:
        """What to say of a file with these predictions.

        Raises:
            ExportMismatch: They are not PyTorch's.
        """
        worst = float(np.abs(predicted - self.probabilities).max())
        if not worst <= TOLERANCE:
            raise ExportMismatch(
                f"probabilities of '{path}' must be within {TOLERANCE} of PyTorch's, but differ "
                f"by up to {worst:.2g}"
            )
        return [f"{path} is whole", self.compare(predicted)]


@dataclass(frozen=True)
class Export:
    """One format, ready to be written.

    Attributes:
        name: "onnx", "torch", "tensorflow" or "int8".
        reference: What it is held against.
        task: What 8 bits need besides; None for the others.
    """

    name: str
    reference: Reference
    task: Quantisation | None = None

    def write(self) -> list[str]:
        """Write it to the `best/` folder, and say how it compares.

        Raises:
            ExportMismatch: It predicts something else than PyTorch. Nothing is left of it.
            ConversionFailed: It cannot be made.
        """
        if self.task is not None:
            return _int8(self.reference, self.task)
        return _WRITERS[self.name](self.reference)


def export_of(folder: Path, name: str) -> Export:
    """Get ready to write a format of a `best/` folder.

    Raises:
        ValueError: In one sentence, if something that is needed is missing.
    """
    task = quantisation(folder) if name == "int8" else None
    return Export(name, _reference(folder), task)


def _reference(folder: Path) -> Reference:
    try:
        model = load_model(folder / "model.safetensors")
        with np.load(folder / "evaluation.npz") as held:
            images = held["pictures"][:COMPARED]
    except OSError as error:
        raise ValueError(
            f"a model must be a folder that a search exported, but '{folder}' is not whole: "
            f"{error}; run `python -m search.finalize --study {folder.parent.name}`"
        ) from None
    predicted = probabilities(model.network, torch.from_numpy(images), model.normalisation)
    return Reference(folder, model, images, predicted.numpy())


def _onnx(reference: Reference) -> list[str]:
    """The file that is there stays if it is right: indexes of `serve` name it by its content."""
    path = reference.folder / "model.onnx"
    if path.exists():
        return reference.check(path, run_onnx(path, reference.images)[0])
    with in_one_step(path) as built:
        export_onnx(built, reference.model, torch.from_numpy(reference.images))
        return reference.check(path, run_onnx(built, reference.images)[0])


def _torch(reference: Reference) -> list[str]:
    path = reference.folder / "model.pt2"
    with in_one_step(path) as built:
        write_torch(built, reference.model)
        return reference.check(path, run_torch(built, reference.images))


def _tensorflow(reference: Reference) -> list[str]:
    path = reference.folder / "model.tensorflow"
    with in_one_step(path) as built:
        write_tensorflow(built, reference.folder / "model.onnx")
        return reference.check(path, run_tensorflow(built, reference.images))


_WRITERS: dict[str, Callable[[Reference], list[str]]] = {
    "onnx": _onnx, "torch": _torch, "tensorflow": _tensorflow
}  # fmt: skip


def _int8(reference: Reference, task: Quantisation) -> list[str]:
    path, plain = reference.folder / "model.int8.onnx", reference.folder / "model.onnx"
    with in_one_step(path) as built:
        write_int8(built, plain, task)
        return [
            f"{path} is written: {built.stat().st_size:,} bytes, model.onnx has "
            f"{plain.stat().st_size:,}",
            reference.compare(run_onnx(built, reference.images)[0]),
            task.cost(plain, built),
        ]


@contextmanager
def in_one_step(target: Path) -> Iterator[Path]:
    """Somewhere to build a file or a folder, which takes its place when all has gone well."""
    study = target.parent.parent
    with tempfile.TemporaryDirectory(dir=study, prefix="exporting-") as scratch:
        built = Path(scratch) / target.name
        yield built
        if target.is_dir():
            shutil.move(target, Path(scratch) / "old")
        built.replace(target)
