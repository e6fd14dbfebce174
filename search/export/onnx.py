"""A trained model as an ONNX file that takes plain images, checked against PyTorch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from train_core.images.view import resample
from train_core.model import TrainedModel, probabilities

TOLERANCE = 1e-4  # How far a probability of the ONNX file may be from PyTorch's.
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
        seen = images if self.view is None else self.view.cropped(images)
        pixels = (seen.float() * self.gain + self.offset).permute(0, 3, 1, 2)
        if self.view is not None and self.view.side != self.view.crop:
            pixels = resample(pixels, self.matrix)
        embedding = self.network.features(pixels)
        return self.network.logits(embedding).softmax(1), embedding


def example(model: TrainedModel) -> Tensor:
    """Images to trace with: two, since a batch of one would be taken for a constant."""
    side = model.image_size
    return torch.zeros(2, side, side, 3, dtype=torch.uint8)


def export_onnx(path: Path, model: TrainedModel, images: Tensor) -> float:
    """Write the model and compare its predictions with PyTorch's.

    The file's input `images` and its outputs `probabilities` and `embedding` are those of
    `PlainImages`. Model and images, `(N, side, side, 3)` uint8 to compare on, are on the CPU.

    Returns:
        The largest difference of a probability.

    Raises:
        ExportMismatch: It is above `TOLERANCE`.
    """
    with warnings.catch_warnings():
        # The exporter warns of its own and its libraries' deprecations, which are not the user's.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            PlainImages(model),
            (example(model),),
            input_names=["images"],
            output_names=["probabilities", "embedding"],
            dynamic_shapes=DYNAMIC,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        # Where the code was that made each node, with the folders of whoever exports.
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.save(path, external_data=False)
    expected = probabilities(model.network, images, model.normalisation).numpy()
    return require_close(path.name, run_onnx(path, images.numpy())[0], expected, TOLERANCE)


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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = [images[i : i + 1000] for i in range(0, len(images), 1000)]
    results = [session.run(None, {"images": batch}) for batch in batches]
    return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])
