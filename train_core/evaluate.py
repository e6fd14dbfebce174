"""Scoring a network on images that it was not trained on."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from train_core.images import Normalisation, Part, images_at_once
from train_core.networks import Classifier


@torch.no_grad()
def logits_of(
    network: Classifier,
    images: Tensor,
    normalisation: Normalisation,
    dtype: torch.dtype = torch.float32,
    mirrored: bool = False,
) -> Iterator[Tensor]:
    """Logits, batch by batch and without augmentation.

    Args:
        network: In evaluation mode, on the device of the images.
        images: `(N, H, W, 3)` uint8.
        normalisation: Of the training part.
        dtype: Working precision.
        mirrored: Whether to show each image mirrored.

    Yields:
        `(up to images_at_once(H), classes)` float32.
    """
    for batch in images.split(images_at_once(images.shape[1])):
        shown = normalisation(batch.flip(2) if mirrored else batch)
        # A generator must not yield in here: its caller would run under autocast.
        with _exact(), torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = network(shown.to(dtype, memory_format=torch.channels_last))
        yield logits.float()


def _exact() -> AbstractContextManager[None]:
    """On a GPU: no trying of kernels for sizes that come a few times, and no TF32 for float32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)


def score(
    network: Classifier, part: Part, normalisation: Normalisation, dtype: torch.dtype
) -> tuple[float, float]:
    """Mean cross-entropy in nats per example, and accuracy in [0, 1], on one part."""
    loss = torch.zeros((), device=part.labels.device)
    hits = torch.zeros((), dtype=torch.int64, device=part.labels.device)
    batches = logits_of(network, part.images, normalisation, dtype)
    all_labels = part.labels.split(images_at_once(part.images.shape[1]))
    for logits, labels in zip(batches, all_labels, strict=True):
        loss += F.cross_entropy(logits, labels, reduction="sum")
        hits += (logits.argmax(1) == labels).sum()
    return loss.item() / len(part), hits.item() / len(part)


def probabilities(
    network: Classifier, images: Tensor, normalisation: Normalisation, mirrored: bool = False
) -> Tensor:
    """Class probabilities `(N, classes)` float32, computed in float32.

    Args:
        network: In evaluation mode, on the device of the images.
        images: `(N, H, W, 3)` uint8.
        normalisation: Of the training part.
        mirrored: Whether to average the probabilities of each image and its mirror image
            (test-time augmentation).
    """
    plain = torch.cat([b.softmax(1) for b in logits_of(network, images, normalisation)])
    if not mirrored:
        return plain
    other = [b.softmax(1) for b in logits_of(network, images, normalisation, mirrored=True)]
    return (plain + torch.cat(other)) / 2
