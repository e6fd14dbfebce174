"""Forward pass and loss of a training step, with the smoothing as a tensor."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train_core.networks import Classifier


def loss_and_logits(
    network: Classifier, images: Tensor, labels: Tensor, smoothing: Tensor
) -> tuple[Tensor, Tensor]:
    """The forward pass of a step, in the precision of the images.

    Args:
        network: In training mode.
        images: `(B, 3, H, W)`, float32 or bfloat16; the weights are cast by autocast.
        labels: `(B,)` int64.
        smoothing: 0-d, in [0, 1).

    Returns:
        Mean loss, 0-d float32 in nats per example, and logits `(B, classes)`.
    """
    with torch.autocast(images.device.type, images.dtype, images.dtype != torch.float32):
        logits = network(images)
    return smoothed_cross_entropy(logits, labels, smoothing), logits


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: Tensor) -> Tensor:
    """Mean cross-entropy with label smoothing, `F.cross_entropy` with a tensor for the smoothing.

    Args:
        logits: `(B, classes)`.
        labels: `(B,)` int64.
        smoothing: 0-d, in [0, 1).

    Returns:
        0-d float32, nats per example.
    """
    log_probabilities = F.log_softmax(logits.float(), 1)
    likelihood = log_probabilities.gather(1, labels[:, None]).mean()
    return (smoothing - 1) * likelihood - smoothing * log_probabilities.mean()
