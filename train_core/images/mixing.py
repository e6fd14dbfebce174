"""Erased, mixed and weighted: what a step does to a batch beyond changing each image by itself.

Strengths are 0-d tensors in [0, 1], nothing here waits for the device, and all shapes are fixed by
the batch size, so a captured step serves every strength. An image is mixed with the one before it
in the batch: batches are drawn at random, so that this one is any other.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from train_core.config import ClassWeights, TrainConfig

# Share of the image that is erased, and height over width of the rectangle (Zhong et al., 2020).
ERASED = 0.02, 0.33
ASPECT = 0.3, 3.3


class Targets(NamedTuple):
    """What images show that are mixed, or whose classes weigh differently.

    Attributes:
        labels: `(B,)` int64, the class of each image itself.
        others: `(B,)` int64, that of what is mixed into it.
        own: `(B,)` float32 in [0, 1], how much of it is the image itself.
        weights: `(classes,)` float32, what every class weighs.
    """

    labels: Tensor
    others: Tensor
    own: Tensor
    weights: Tensor


class Strengths(NamedTuple):
    """How much of it there is, 0-d each, in [0, 1]; 0 = none.

    Attributes:
        mixup: 1 = mixed by a uniform share, which is mixup (Zhang et al., 2018) with alpha 1; less
            leaves every image that much nearer to itself.
        cutmix: Share of the images in which a rectangle is another's (Yun et al., 2019; alpha 1).
            These are not mixed otherwise.
        erasing: Share of the images in which a rectangle has one random colour.
    """

    mixup: Tensor
    cutmix: Tensor
    erasing: Tensor


def is_mixed(config: TrainConfig) -> bool:
    """Whether a training needs any of this."""
    strengths = (getattr(config, name) for name in Strengths._fields)
    return config.class_weights != "none" or any(strength > 0 for strength in strengths)


class Mixing:
    """What a step mixes and weighs with; all of it stays where it is, for a captured step."""

    def __init__(self, batch_size: int, classes: int, device: torch.device) -> None:
        self._strengths = Strengths(*torch.zeros(len(Strengths._fields), device=device))
        self._own = torch.ones(batch_size, device=device)
        self._weights = torch.ones(classes, device=device)

    def begin(self, config: TrainConfig, labels: Tensor) -> None:
        """A new training, on images with these labels, `(N,)`."""
        for name, strength in self._strengths._asdict().items():
            strength.fill_(getattr(config, name))
        self._weights.copy_(class_weights(config.class_weights, labels, len(self._weights)))

    def mix(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What `mixed` makes of a batch."""
        images, own = mixed(images, self._strengths, generator)
        self._own.copy_(own)
        return images

    def targets(self, labels: Tensor) -> Targets:
        """Those of the last batch, whose labels, `(B,)`, these are."""
        return Targets(labels, labels.roll(1), self._own, self._weights)


def mixed(
    images: Tensor, strengths: Strengths, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The images, `(B, 3, H, W)` float32 and normalised, with rectangles erased, and then mixed.

    Returns:
        The images, and `(B,)` float32 in [0, 1], how much of each is the image itself; the rest is
        the one before it.
    """
    count, device = len(images), images.device
    draws = torch.rand(count, 9, device=device, generator=generator)
    colour = torch.randn(count, 3, 1, 1, device=device, generator=generator)
    low, high = ERASED
    area = low + (high - low) * draws[:, 0]
    tall = (ASPECT[1] / ASPECT[0]) ** draws[:, 1] * ASPECT[0]
    size = torch.stack([(area * tall).sqrt(), (area / tall).sqrt()], 1)
    hole = _rectangle(size, draws[:, 2:4], images.shape[-1])
    erased = torch.where(
        hole & (draws[:, 4] < strengths.erasing)[:, None, None, None], colour, images
    )
    side = (1 - draws[:, 5]).sqrt()  # The rest of the area is uniform.
    swapped = _rectangle(torch.stack([side, side], 1), draws[:, 6:8], images.shape[-1])
    cut = (draws[:, 8] < strengths.cutmix)[:, None, None, None]
    # From the image that gives more: shares and their complements are drawn alike.
    blend = (1 - strengths.mixup * draws[:, 5] / 2)[:, None, None, None]
    own = torch.where(cut, 1 - swapped.float(), blend.expand_as(swapped))
    return torch.lerp(erased.roll(1, 0), erased, own), own.mean((1, 2, 3))


def _rectangle(size: Tensor, place: Tensor, side: int) -> Tensor:
    """`(B, 1, side, side)` bool: rectangles, cut off at the edges.

    Args:
        size: `(B, 2)`, height and width as shares of the side.
        place: `(B, 2)` in [0, 1), the centre's row and column as shares of the side.
        side: Of the images, in pixels.
    """
    pixels = (torch.arange(side, device=size.device) + 0.5) / side
    inside = (pixels - place[:, :, None]).abs() < size[:, :, None] / 2
    return inside[:, 0, None, :, None] & inside[:, 1, None, None, :]


def class_weights(kind: ClassWeights, labels: Tensor, classes: int) -> Tensor:
    """The weight of every class in the loss, `(classes,)` float32, on the labels' device.

    Over the training images with these labels, `(N,)` int64, their mean is 1. A class weighs as
    the root of its images' number, inverted (`sqrt`), or so that all classes weigh alike
    (`balanced`); one without images weighs nothing.
    """
    counts = torch.bincount(labels, minlength=classes).float()
    power = {"none": 0.0, "sqrt": -0.5, "balanced": -1.0}[kind]
    weights = torch.where(counts > 0, counts.clamp_min(1) ** power, 0.0)
    return weights * (len(labels) / (weights * counts).sum())
