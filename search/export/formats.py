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
from train_core.model import TrainedModel, load_model, probabilities

TOLERANCE = 1e-3
"""How far a probability of another format may be from PyTorch's."""

COMPARED = 100
"""Test images to compare on, of those that the export kept; small data sets keep fewer."""


@dataclass(frozen=True)
class Reference:
    """The model, and what PyTorch says with it.

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
            ExportMismatch: It says something else than PyTorch. Nothing is left of it.
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
    said = probabilities(model.network, torch.from_numpy(images), model.normalisation)
    return Reference(folder, model, images, said.numpy())


def _onnx(reference: Reference) -> list[str]:
    """The file that is there stays if it is right: indexes of `serve` name it by its content."""
    path = reference.folder / "model.onnx"
    if path.exists():
        return _checked(path, run_onnx(path, reference.images)[0], reference)
    with in_one_step(path) as built:
        export_onnx(built, reference.model, torch.from_numpy(reference.images))
        return _checked(path, run_onnx(built, reference.images)[0], reference)


def _torch(reference: Reference) -> list[str]:
    path = reference.folder / "model.pt2"
    with in_one_step(path) as built:
        write_torch(built, reference.model)
        return _checked(path, run_torch(built, reference.images), reference)


def _tensorflow(reference: Reference) -> list[str]:
    path = reference.folder / "model.tensorflow"
    with in_one_step(path) as built:
        write_tensorflow(built, reference.folder / "model.onnx")
        return _checked(path, run_tensorflow(built, reference.images), reference)


def _int8(reference: Reference, task: Quantisation) -> list[str]:
    path, plain = reference.folder / "model.int8.onnx", reference.folder / "model.onnx"
    with in_one_step(path) as built:
        write_int8(built, plain, task)
        said = run_onnx(built, reference.images)[0]
        return [
            f"{path} is written: {built.stat().st_size:,} bytes, model.onnx has "
            f"{plain.stat().st_size:,}",
            _compared(said, reference),
            task.cost(plain, built),
        ]


_WRITERS: dict[str, Callable[[Reference], list[str]]] = {
    "onnx": _onnx, "torch": _torch, "tensorflow": _tensorflow
}  # fmt: skip


def _checked(path: Path, said: np.ndarray, reference: Reference) -> list[str]:
    """What to say of a file that is as it should be.

    Raises:
        ExportMismatch: It is not.
    """
    worst = float(np.abs(said - reference.probabilities).max())
    if not worst <= TOLERANCE:
        raise ExportMismatch(
            f"probabilities of '{path}' must be within {TOLERANCE} of PyTorch's, but differ by up "
            f"to {worst:.2g}"
        )
    return [f"{path} is whole", _compared(said, reference)]


def _compared(said: np.ndarray, reference: Reference) -> str:
    differences = np.abs(said - reference.probabilities)
    same = int((said.argmax(1) == reference.probabilities.argmax(1)).sum())
    return (
        f"against PyTorch on {len(said)} test images: probabilities differ by up to "
        f"{differences.max():.2g} ({differences.mean():.2g} on average), the same class for {same}"
    )


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
