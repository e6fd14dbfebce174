"""`PlainImages`: a trained network as other programs want it, normalisation inside."""

import torch
from torch import Tensor, nn

from train_core.model import TrainedModel


class PlainImages(nn.Module):
    """Images `(batch, side, side, 3)` uint8, RGB, in; probabilities and embedding out.

    The outputs are `(batch, classes)` and `(batch, features)`, both float32. Every exported format
    has this one input and these two outputs.
    """

    def __init__(self, model: TrainedModel) -> None:
        """Take over the network and its normalisation, on the CPU, in evaluation mode."""
        super().__init__()
        self.network = model.network
        gain, offset = model.normalisation.affine()
        self.register_buffer("gain", gain.cpu())
        self.register_buffer("offset", offset.cpu())
        self.eval()

    gain: Tensor
    offset: Tensor

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
