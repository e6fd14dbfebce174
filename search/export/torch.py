"""A trained model as other programs want it, and as a `torch.export` program.

The program runs with torch alone, without this project.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from train_core.model import TrainedModel


class PlainImages(nn.Module):
    """Images `(batch, side, side, 3)` uint8, RGB, in; probabilities and embedding out.

    The outputs are `(batch, classes)` and `(batch, features)`, both float32. Every exported format
    has this one input and these two outputs; the normalisation is inside.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, model: TrainedModel) -> None:
        """Take over the network and its normalisation, on the CPU, in evaluation mode."""
        super().__init__()
        self.network = model.network
        gain, offset = model.normalisation.affine()
        self.register_buffer("gain", gain.cpu())
        self.register_buffer("offset", offset.cpu())
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and embedding."""
        pixels = (images.float() * self.gain + self.offset).permute(0, 3, 1, 2)
        embedding = self.network.features(pixels)
        return self.network.logits(embedding).softmax(1), embedding


def example(model: TrainedModel) -> Tensor:
    """Images to trace with: two, since a batch of one would be taken for a constant."""
    side = model.image_size
    return torch.zeros(2, side, side, 3, dtype=torch.uint8)


def dynamic_shapes() -> tuple[dict[int, torch.export.Dim]]:
    """That the batch may have any size."""
    return ({0: torch.export.Dim("batch", min=1)},)


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
    predicted: Tensor = network(torch.from_numpy(images))[0]
    return predicted.numpy()
