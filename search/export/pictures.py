"""The pictures that a report shows of what augmentation does to training images."""

import numpy as np
import torch
from torch import Tensor

from train_core.augment import augment, draw, flips
from train_core.images import ImageData, Normalisation

_SHOWN = 4
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def augmented_pictures(data: ImageData, chosen: float) -> dict[str, np.ndarray]:
    """One training picture of some classes at each strength, with the same draw at all of them.

    Args:
        data: The training images.
        chosen: The strength of the final training, in [0, 1], which is among those shown.

    Returns:
        "augmented" `(pictures, strengths, side, side, 3)` uint8 in the colours of the original,
        and "augment_strengths" `(strengths,)` float32, rising.
    """
    labels = data.train.labels
    rows = [int(torch.nonzero(labels == label)[0]) for label in labels.unique()[:_SHOWN]]
    images = data.train.images[rows].cpu()
    norm = Normalisation(data.normalisation.mean.cpu(), data.normalisation.std.cpu())
    strengths = torch.tensor(sorted({*_STRENGTHS, chosen}))
    random = torch.Generator().manual_seed(1)
    draws, phase = draw(len(rows), images.device, random), torch.rand(len(rows), generator=random)
    shown = []
    for strength in strengths:
        flipped = flips(phase, torch.tensor(0), strength) & data.mirror
        shown.append(_pixels(augment(images, flipped, draws, strength, norm), norm))
    return {
        "augmented": torch.stack(shown, 1).numpy(),
        "augment_strengths": strengths.numpy(),
    }


def _pixels(normalised: Tensor, norm: Normalisation) -> Tensor:
    """`(B, H, W, 3)` uint8, what normalisation was given."""
    plain = normalised.permute(0, 2, 3, 1) * norm.std + norm.mean
    return (plain * 255).round().clamp(0, 255).to(torch.uint8)
