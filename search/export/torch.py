"""A trained model as a `torch.export` program: runs with torch alone, without this project."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from search.export.plain_images import PlainImages, dynamic_shapes, example
from train_core.model import TrainedModel


def write_torch(path: Path, model: TrainedModel) -> None:
    """Write the program; `torch.export.load(path).module()` is the network again."""
    # A copy, since the model must stay; channels that come last would be written with a warning.
    network = deepcopy(PlainImages(model)).to(memory_format=torch.contiguous_format)
    program = torch.export.export(network, (example(model),), dynamic_shapes=dynamic_shapes())
    # The folders of whoever exports.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, path)


@torch.no_grad()
def run_torch(path: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities `(N, classes)` of `(N, side, side, 3)` uint8 images, by the program."""
    network = torch.export.load(path).module()
    said: torch.Tensor = network(torch.from_numpy(images))[0]
    return said.numpy()
