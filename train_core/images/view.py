"""`View`: which part of an image a network sees, and at which size; resampling as matrices."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """The centre of an image, brought to the size at which a network works; sides in pixels.

    Attributes:
        stored: Of the images.
        crop: Of their centre that is seen, at most `stored` and even with it.
        side: That this centre is brought to, at most `crop`.
    """

    stored: int
    crop: int
    side: int

    def cropped(self, images: Tensor) -> Tensor:
        """`(B, side, side, 3)` from `(B, stored, stored, 3)`, if no pixel has to be made.

        Otherwise the images as they are: then `resized` also crops.
        """
        if self.side != self.crop or self.crop == self.stored:
            return images
        edge = (self.stored - self.crop) // 2
        return images[:, edge : edge + self.crop, edge : edge + self.crop]

    def resized(self, pixels: Tensor) -> Tensor:
        """`(B, 3, side, side)` float from what `cropped` leaves, channels before rows."""
        return pixels if self.side == self.crop else resample(pixels, self.matrix(pixels.device))

    @cache  # noqa: B019 - there are few, and a captured step reads it where it was.
    def matrix(self, device: torch.device) -> Tensor:
        """What `resized` resamples with, `(stored, side)` float32."""
        middle, step = torch.tensor([self.stored / 2]), torch.tensor([self.crop / self.side])
        return sampling(middle, step, self.side, self.stored)[0].T.contiguous().to(device)


def resample(pixels: Tensor, matrix: Tensor) -> Tensor:
    """`(B, C, new, new)` from `(B, C, old, old)` by one matrix, `(old, new)`, for both axes.

    Products with a plain matrix from the right are what every format of export knows.
    """
    along_rows = (pixels @ matrix).transpose(2, 3)
    return (along_rows @ matrix).transpose(2, 3)


def sampling(middle: Tensor, step: Tensor, side: int, stored: int) -> Tensor:
    """`(B, side, stored)` float32: each new pixel as weights, of sum 1, of a line's old ones.

    The filter is Keys' cubic convolution (1981, a = -1/2), widened where pixels get fewer, as
    `BICUBIC` in Pillow has it: whatever the size, nothing is skipped.

    Args:
        middle: `(B,)`, the place on the line, from 0 to `stored`, that the new ones lie around.
        step: `(B,)`, old pixels from one new one to the next; negative = mirrored.
        side: How many new ones there are.
        stored: How many old ones there are.
    """
    new = torch.arange(side, device=step.device) + 0.5 - side / 2
    old = torch.arange(stored, device=step.device) + 0.5
    places = middle[:, None] + step[:, None] * new
    width = step.abs().clamp(min=1)[:, None, None]
    weights = _cubic((old - places[:, :, None]) / width)
    return weights / weights.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    x = x.abs().clamp(max=2)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far)
