"""A trained model as an ONNX file that takes plain images, checked against PyTorch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search.export.torch import PlainImages, dynamic_shapes, example
from train_core.model import TrainedModel
from train_core.model import probabilities as torch_probabilities

TOLERANCE = 1e-4
"""How far a probability of the ONNX file may be from PyTorch's."""


class ExportMismatch(Exception):
    """The exported file does not predict what the model predicts."""


def export_onnx(path: Path, model: TrainedModel, images: Tensor) -> float:
    """Write the model and compare its predictions with PyTorch's.

    The file's input `images` is `(batch, side, side, 3)` uint8, RGB; its outputs are
    `probabilities` `(batch, classes)` and `embedding` `(batch, features)`, both float32.

    Args:
        path: The file to write.
        model: On the CPU, in evaluation mode.
        images: `(N, side, side, 3)` uint8 on the CPU, to compare on.

    Returns:
        The largest difference of a probability.

    Raises:
        ExportMismatch: It is above `TOLERANCE`.
    """
    _write(path, model)
    expected = torch_probabilities(model.network, images, model.normalisation).numpy()
    got = run_onnx(path, images.numpy())[0]
    worst = float(np.abs(expected - got).max())
    if not worst <= TOLERANCE:
        raise ExportMismatch(
            f"probabilities of '{path.name}' must be within {TOLERANCE} of PyTorch's, but differ "
            f"by up to {worst:.2g}"
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


def _write(path: Path, model: TrainedModel) -> None:
    with warnings.catch_warnings():
        # The exporter warns of its own and its libraries' deprecations, which are not the user's.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            PlainImages(model),
            (example(model),),
            input_names=["images"],
            output_names=["probabilities", "embedding"],
            dynamic_shapes=dynamic_shapes(),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        # Where the code was that made each node, with the folders of whoever exports.
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.save(path, external_data=False)
