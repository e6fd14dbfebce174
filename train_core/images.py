"""A data set on the device: uint8 images, labels, and what the training part says about them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, load_part
from train_core.data.select import choose_rows
from train_core.whitening import channel_statistics, whitening_filters


@dataclass(frozen=True)
class Part:
    """Images and labels of one part of a data set, on one device.

    Attributes:
        images: `(N, H, W, 3)` uint8.
        labels: `(N,)` int64, in [0, classes).
    """

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, device: torch.device) -> "Part":
        """Copy arrays of the same shapes to a device."""
        # An array mapped from a file cannot be written to, and torch has no word for that.
        owned = images if images.flags.writeable else images.copy()
        pixels = torch.from_numpy(np.ascontiguousarray(owned)).to(device)
        return cls(pixels, torch.from_numpy(labels.astype(np.int64)).to(device))

    def thinned(self, at_most: int) -> "Part":
        """Every second image, or every third, and so on: all over the part and without a copy.

        At least half of `at_most`, where the part is larger.
        """
        every = max(1, -(-len(self) // at_most))
        return Part(self.images[::every], self.labels[::every])

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Normalisation:
    """Channel means and standard deviations, `(3,)` float32, of the training part.

    Everything that shows an image to a network goes through here: training, evaluation, export.
    """

    mean: Tensor
    std: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` float32, normalised, channels_last, from `(B, H, W, 3)` uint8."""
        gain, offset = self.affine()
        return (images.float() * gain + offset).permute(0, 3, 1, 2)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The same as one line per channel: gain and offset, `(3,)`, for pixels in [0, 255]."""
        return 1 / (255 * self.std), -self.mean / self.std


@dataclass(frozen=True)
class ImageData:
    """What a training sees: a training part, perhaps a validation part, and never the test part.

    Attributes:
        train: The images to learn from.
        validation: The images that the search scores on; None in the final training.
        classes: Names of the classes, by label.
        mirror: Whether a mirrored image still shows its class (no for digits).
    """

    train: Part
    validation: Part | None
    classes: tuple[str, ...]
    mirror: bool

    @property
    def device(self) -> torch.device:
        """Where the images live."""
        return self.train.images.device

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        return self.train.images.shape[1]

    @cached_property
    def normalisation(self) -> Normalisation:
        """From the training part."""
        return Normalisation(*channel_statistics(self.train.images))

    @cached_property
    def filters(self) -> Tensor:
        """Whitening filters, `(24, 3, 2, 2)`, from some 5,000 images all over the part."""
        sample = self.train.images[:: max(1, len(self.train) // 5000)]
        return whitening_filters(map(self.normalisation, sample.split(images_at_once(self.side))))


def images_at_once(side: int) -> int:
    """How many images of this side to handle at a time: a million pixels, which fit anywhere."""
    return max(1, 1000 * 32**2 // side**2)


def load_training_data(
    prepared: PreparedData, config: DataConfig, device: torch.device
) -> ImageData:
    """The training and validation images of a prepared data set; the test file stays closed."""
    arrays = load_part(prepared, "train")
    rows = choose_rows(arrays.labels, config)
    train = Part.of(arrays.images[rows.train], arrays.labels[rows.train], device)
    validation = None
    if len(rows.validation):
        validation = Part.of(
            arrays.images[rows.validation], arrays.labels[rows.validation], device
        )
    return ImageData(train, validation, prepared.classes, prepared.mirror)


def load_test_part(prepared: PreparedData, device: torch.device) -> Part:
    """The test images: for the one evaluation after everything is decided."""
    arrays = load_part(prepared, "test")
    return Part.of(arrays.images, arrays.labels, device)
