"""What every network offers to the training, the evaluation and the export."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from train_core.layers import Dropout


class Classifier(nn.Module, ABC):
    """Normalised images in, logits out, with dropout before the last layer."""

    dropout: Dropout
    head: nn.Linear

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """The embedding before dropout and the last layer.

        Args:
            images: `(B, 3, H, W)`, normalised, channels_last.

        Returns:
            `(B, features)`.
        """

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """`(B, classes)` from `(B, features)`."""

    @abstractmethod
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        """Draw new initial weights, in place.

        Args:
            generator: On the CPU, so that a seed means the same weights on every device.
            filters: `(24, 3, 2, 2)`, the whitening filters of the data set; a network that has
                no use for them ignores them.
        """

    @torch.no_grad()
    def divide_logits(self, divisor: float) -> None:
        """Change the last layer, in place, so that all logits are smaller by a factor above 0."""
        for parameter in self.head.parameters():
            parameter.div_(divisor)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, classes)` of normalised images `(B, 3, H, W)`."""
        return self.logits(self.dropout(self.features(images)))
