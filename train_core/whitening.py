"""Statistics of a data set that networks start from: channel means, spreads, whitening filters."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 5e-4
_FLAT = 1e-5
"""Second moment under which a direction holds nothing: colour in grey images, for instance."""

_PATCHES_PER_SIDE = 32
"""From twice this side on, images give every second, third, ... patch: neighbours say the same."""


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel.

    Args:
        images: `(N, H, W, 3)` uint8, of the training part only.

    Returns:
        Two `(3,)` float32 tensors, in units of the full range: black = 0, white = 1.
    """
    counts = torch.stack(
        [torch.bincount(channel, minlength=256) for channel in images.flatten(0, 2).T]
    )
    levels = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ levels
    variance = (share @ levels.square() - mean.square()).clamp_min(0)
    # A constant channel must not divide by zero.
    return mean.float(), variance.sqrt().clamp_min(1e-3).float()


def whitening_filters(batches: Iterable[Tensor]) -> Tensor:
    """Filters that decorrelate 2x2 patches, each with its negative.

    They are the eigenvectors of the patches' second moments, scaled to equal strength, and never
    trained. The negatives keep what the activation would drop. Directions that hold nothing are
    replaced by the strongest ones again: a channel that never varies would upset batch norm.

    Args:
        batches: Each `(B, 3, H, W)` float32, normalised; together some thousands of images from
            the training part. A patch takes 144 bytes, so that only one batch at a time is in
            memory as patches.

    Returns:
        `(24, 3, 2, 2)` float32, on the device of the images: strongest direction, its negative,
        second strongest, and so on.
    """
    total, count = torch.zeros(12, 12, dtype=torch.float64), 0
    for images in batches:
        patches = _patches(images)
        total += (patches.T @ patches).cpu()
        count += len(patches)
    return _filters(total / count).to(images.device)


def _patches(images: Tensor) -> Tensor:
    """`(patches, 12)` float64 from `(B, 3, H, W)`, about as many per image whatever its size."""
    stride = max(1, images.shape[-1] // _PATCHES_PER_SIDE)
    return F.unfold(images, 2, stride=stride).transpose(1, 2).flatten(0, 1).double()


def _filters(moments: Tensor) -> Tensor:
    """Filters `(24, 3, 2, 2)` from the second moments of patches, `(12, 12)` float64."""
    strengths, vectors = torch.linalg.eigh(moments)
    # The sign of an eigenvector is arbitrary: fix it, so that machines agree.
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    scaled = vectors * largest.sign() / (strengths.clamp_min(0) + _EPS).sqrt()
    live = max(1, int((strengths > _FLAT).sum()))
    filters = scaled.flip(1).T[torch.arange(12) % live].reshape(12, 3, 2, 2)
    return torch.stack([filters, -filters], 1).flatten(0, 1).float()
