"""A trained model as an ONNX file that takes plain images, checked against PyTorch."""

import logging
import warnings
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from records.pixels.heat import ACTIVATION, with_activation
from search.export.activation import map_size
from train_core.images.view import resample
from train_core.model import TrainedModel, probabilities

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLERANCE = 1e-4  # How far a probability of the ONNX file may be from PyTorch's.
_EXPLAINED = 16  # Images whose class-activation maps are compared.
DYNAMIC = ({0: torch.export.Dim("batch", min=1)},)  # The sizes that may change, for the exporters.


class ExportMismatch(Exception):
    """The exported file does not predict what the model predicts."""


class PlainImages(nn.Module):
    """Images `(batch, side, side, 3)` uint8, RGB, in; probabilities and embedding out.

    The outputs are `(batch, classes)` and `(batch, features)`, both float32. Every exported format
    has this one input and these two outputs; the normalisation is inside. It is on the CPU and in
    evaluation mode.
    """

    gain: Tensor
    offset: Tensor
    matrix: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.network, self.view = model.network, model.normalisation.view
        if self.view is not None:
            # Here, since what is made while the graph is traced is no constant of it.
            self.register_buffer("matrix", self.view.matrix(torch.device("cpu")))
        gain, offset = model.normalisation.affine()
        self.register_buffer("gain", gain.cpu())
        self.register_buffer("offset", offset.cpu())
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and embedding."""
        embedding = self.network.features(self.pixels(images))
        return self.network.logits(embedding).softmax(1), embedding

    def pixels(self, images: Tensor) -> Tensor:
        """What the network gets, `(batch, 3, side, side)` float32."""
        seen = images if self.view is None else self.view.cropped(images)
        pixels = (seen.float() * self.gain + self.offset).permute(0, 3, 1, 2).contiguous()
        if self.view is not None and self.view.side != self.view.crop:
            pixels = resample(pixels, self.matrix)
        return pixels


class Explained(PlainImages):
    """`PlainImages` with a third output: `activation`, see `records.pixels.heat`."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Probabilities, embedding and class-activation maps."""
        embedding, maps = self.network.features_and_map(self.pixels(images))
        assert maps is not None
        logits = self.network.logits(embedding)
        return logits.softmax(1), embedding, self.network.activation(maps)


def traceable(model: TrainedModel, *, explained: bool = False) -> PlainImages:
    """A copy to make a graph of, `Explained` or not, since the model must stay as it is.

    Its channels come first: otherwise torch's pooling of a whole map is written as arithmetic on
    places in memory, which nobody else understands.
    """
    made = Explained(model) if explained else PlainImages(model)
    return deepcopy(made).to(memory_format=torch.contiguous_format)


def example(model: TrainedModel) -> Tensor:
    """Images to trace with: two, since a batch of one would be taken for a constant."""
    side = model.image_size
    return torch.zeros(2, side, side, 3, dtype=torch.uint8)


def export_onnx(path: Path, model: TrainedModel, images: Tensor) -> float:
    """Write the model and compare its predictions with PyTorch's.

    The file's input `images` and its outputs `probabilities` and `embedding` are those of
    `PlainImages`; if the model has class-activation maps, it also computes `activation`. Model
    and images, `(N, side, side, 3)` uint8 to compare on, are on the CPU.

    Returns:
        The largest difference of a probability.

    Raises:
        ExportMismatch: It is above `TOLERANCE`.
    """
    explained = not isinstance(map_size(model, images[:2]), str)
    write_onnx(path, model, explained=explained)
    expected = probabilities(model.network, images, model.normalisation).numpy()
    if explained:
        logits = run_activation(path, images.numpy()[:_EXPLAINED]).mean((2, 3))
        said = torch.from_numpy(logits).softmax(1).numpy()
        require_close(f"{path.name}: {ACTIVATION}", said, expected[:_EXPLAINED], TOLERANCE)
    return require_close(path.name, run_onnx(path, images.numpy())[0], expected, TOLERANCE)


def write_onnx(path: Path, model: TrainedModel, *, explained: bool) -> None:
    """Write the model, with its class-activation maps or without; nothing is compared."""
    names = ["probabilities", "embedding", ACTIVATION][: 3 if explained else 2]
    with warnings.catch_warnings():
        # The exporter warns of its own and its libraries' deprecations, which are not the user's.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            traceable(model, explained=explained),
            (example(model),),
            input_names=["images"],
            output_names=names,
            dynamic_shapes=DYNAMIC,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        # Where the code was that made each node, with the folders of whoever exports.
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        # Computed for those who ask; readers of all outputs know of two.
        del program.model.graph.outputs[2:]
        program.save(path, external_data=False)


def require_close(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    """The largest difference of two arrays of probabilities, a file's and PyTorch's.

    Raises:
        ExportMismatch: It is above the tolerance.
    """
    worst = float(np.abs(got - expected).max())
    if not worst <= tolerance:
        raise ExportMismatch(
            f"probabilities of '{name}' must be within {tolerance} of PyTorch's, but differ by up "
            f"to {worst:.2g}"
        )
    return worst


def run_onnx(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and embeddings of `(N, side, side, 3)` uint8 images, by ONNX Runtime."""
    session = _session(path.read_bytes())
    batches = [images[i : i + 1000] for i in range(0, len(images), 1000)]
    results = [session.run(None, {"images": batch}) for batch in batches]
    return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])


def write_without_maps(path: Path, model: Path) -> None:
    """Write a model's file with nothing in it that its outputs do not need.

    Converters stumble over what no output is made of.
    """
    from onnx.utils import extract_model

    extract_model(model, path, ["images"], ["probabilities", "embedding"])


def run_activation(path: Path, images: np.ndarray) -> np.ndarray:
    """Class-activation maps `(N, classes, h, w)` of a file that computes them, likewise."""
    session = _session(with_activation(path.read_bytes()))
    return np.asarray(session.run([ACTIVATION], {"images": images})[0])


def _session(model: bytes) -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
