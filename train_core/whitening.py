"""Statistics of a data set that networks start from: channel means, spreads, whitening filters."""

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 5e-4
_FLAT = 1e-5
"""Second moment under which a direction holds nothing: colour in grey images, for instance."""


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


def whitening_filters(images: Tensor) -> Tensor:
    """Filters that decorrelate 2x2 patches, each with its negative.

    They are the eigenvectors of the patches' second moments, scaled to equal strength, and never
    trained. The negatives keep what the activation would drop. Directions that hold nothing are
    replaced by the strongest ones again: a channel that never varies would upset batch norm.

    Args:
        images: `(N, 3, H, W)` float32, normalised; some thousands from the training part.

    Returns:
        `(24, 3, 2, 2)` float32, on the device of the images: strongest direction, its negative,
        second strongest, and so on.
    """
    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).double()
    moments = (patches.T @ patches / len(patches)).cpu()
    strengths, vectors = torch.linalg.eigh(moments)
    # The sign of an eigenvector is arbitrary: fix it, so that machines agree.
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    scaled = vectors * largest.sign() / (strengths.clamp_min(0) + _EPS).sqrt()
    live = max(1, int((strengths > _FLAT).sum()))
    filters = scaled.flip(1).T[torch.arange(12) % live].reshape(12, 3, 2, 2)
    return torch.stack([filters, -filters], 1).flatten(0, 1).float().to(images.device)
