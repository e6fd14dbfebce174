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
from search.export.onnx import DYNAMIC, example, export_onnx, require_close, run_onnx, traceable
from search.export.tensorflow import run_tensorflow, write_tensorflow
from studies.study import Place
from train_core.data.decode import resize_all
from train_core.model import TrainedModel, load_model, probabilities

TOLERANCE = 1e-3  # How far a probability of another format may be from PyTorch's.
# Test images to compare on, of those that the export kept; small data sets keep fewer.
COMPARED = 100


@dataclass(frozen=True)
class Export:
    """A format of a model, ready to be written, and what PyTorch predicts with the model."""

    name: str  # "onnx", "torch", "tensorflow" or "int8".
    folder: Path  # The `best/` folder.
    model: TrainedModel  # On the CPU.
    images: np.ndarray  # `(N, side, side, 3)` uint8, test images, N at most `COMPARED`.
    probabilities: np.ndarray  # `(N, classes)` float32.
    task: Quantisation | None = None  # What 8 bits need besides.

    def write(self) -> list[str]:
        """Write it to the `best/` folder, and say how it compares.

        Raises:
            ExportMismatch: It predicts something else than PyTorch. Nothing is left of it.
            ConversionFailed: It cannot be made.
        """
        file, run = _FORMATS[self.name]
        path, plain = self.folder / file, self.folder / "model.onnx"
        # It stays if it is right: indexes of `serve` name it by its content.
        if path == plain and path.exists():
            return self._checked(path, run(path, self.images))
        with in_one_step(path, self.folder.parent) as built:
            if self.task is not None:
                write_int8(built, plain, self.task)
                sizes = f"{built.stat().st_size:,} bytes, model.onnx has {plain.stat().st_size:,}"
                compared = self._compared(run(built, self.images))
                return [f"{path} is written: {sizes}", compared, self.task.cost(plain, built)]
            match self.name:
                case "onnx":
                    export_onnx(built, self.model, torch.from_numpy(self.images))
                case "torch":
                    _write_torch(built, self.model)
                case "tensorflow":
                    write_tensorflow(built, plain)
            return self._checked(path, run(built, self.images))

    def _checked(self, path: Path, predicted: np.ndarray) -> list[str]:
        require_close(str(path), predicted, self.probabilities, TOLERANCE)
        return [f"{path} is whole", self._compared(predicted)]

    def _compared(self, predicted: np.ndarray) -> str:
        differences = np.abs(predicted - self.probabilities)
        same = int((predicted.argmax(1) == self.probabilities.argmax(1)).sum())
        return (
            f"against PyTorch on {len(predicted)} test images: probabilities differ by up to "
            f"{differences.max():.2g} ({differences.mean():.2g} on average), the same class for "
            f"{same}"
        )


def export_of(folder: Path, name: str) -> Export:
    """Get ready to write a format of a `best/` folder.

    Raises:
        ValueError: In one sentence, if something that is needed is missing.
    """
    task = quantisation(folder) if name == "int8" else None
    try:
        model = load_model(folder / "model.safetensors")
        with np.load(folder / "evaluation.npz") as held:
            # Large ones were made small for reports.
            images = resize_all(held["pictures"][:COMPARED], model.image_size)
    except OSError as error:
        flags = Place(folder.parent.name, folder.parent).flags
        raise ValueError(
            f"a model must be a folder that a search exported, but '{folder}' is not whole: "
            f"{error}; run `python -m search.finalize {flags}`"
        ) from None
    predicted = probabilities(model.network, torch.from_numpy(images), model.normalisation)
    return Export(name, folder, model, images, predicted.numpy(), task)


@contextmanager
def in_one_step(target: Path, beside: Path) -> Iterator[Path]:
    """Somewhere to build a file or a folder, which takes its place when all has gone well."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix="exporting-") as scratch:
        built = Path(scratch) / target.name
        yield built
        if target.is_dir():
            shutil.move(target, Path(scratch) / "old")
        built.replace(target)


def _write_torch(path: Path, model: TrainedModel) -> None:
    """Write a program; `torch.export.load(path).module()` is the network, without this project."""
    program = torch.export.export(traceable(model), (example(model),), dynamic_shapes=DYNAMIC)
    # The folders of whoever exports.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, path)


@torch.no_grad()
def _run_torch(path: Path, images: np.ndarray) -> np.ndarray:
    predicted: torch.Tensor = torch.export.load(path).module()(torch.from_numpy(images))[0]
    return predicted.numpy()


def _run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    return run_onnx(path, images)[0]


# Name -> its file or folder, and how to run it: images in, probabilities out.
_FORMATS: dict[str, tuple[str, Callable[[Path, np.ndarray], np.ndarray]]] = {
    "onnx": ("model.onnx", _run_onnx),
    "int8": ("model.int8.onnx", _run_onnx),
    "torch": ("model.pt2", _run_torch),
    "tensorflow": ("model.tensorflow", run_tensorflow),
}
