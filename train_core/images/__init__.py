"""A data set on the device: uint8 images, labels, and what the training part says about them.

Images that the device has no room for stay where they are, and come to it a few at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from records.pixels import SMALL
from train_core.config import ImagePlace
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, image_rows, load_labels
from train_core.data.stored import ImageRows
from train_core.device import has_float64, place_images
from train_core.images.off_device import Images, OffDevice
from train_core.images.view import View

_EPS = 5e-4
# Second moment below which a direction has no variance, such as colour in grey images.
_FLAT = 1e-5


@dataclass(frozen=True)
class Part:
    """Images `(N, H, W, 3)` uint8 and labels `(N,)` int64, in [0, classes), for one device."""

    images: Images
    labels: Tensor

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, device: torch.device) -> "Part":
        """Copy arrays of the same shapes to a device."""
        # torch warns of arrays that cannot be written to, such as those mapped from a file.
        owned = images if images.flags.writeable else images.copy()
        pixels = torch.from_numpy(np.ascontiguousarray(owned)).to(device)
        return cls(pixels, torch.from_numpy(labels.astype(np.int64)).to(device))

    @classmethod
    def placed(
        cls, rows: ImageRows, labels: np.ndarray, device: torch.device, place: ImagePlace
    ) -> "Part":
        """Images of the cache's file where they shall be: `device`, `host`, or left in `cache`."""
        on_device = torch.from_numpy(labels.astype(np.int64)).to(device)
        if place == "cache":
            return cls(OffDevice(rows, device), on_device)
        where = torch.device("cpu") if place == "host" else device
        pixels, start = torch.empty(rows.shape, dtype=torch.uint8, device=where), 0
        for piece in rows.pieces():
            pixels[start : start + len(piece)] = torch.from_numpy(piece)
            start += len(piece)
        images = OffDevice(ImageRows(pixels.numpy()), device) if place == "host" else pixels
        return cls(images, on_device)

    def subsample(self, at_most: int) -> "Part":
        """Every second image, or every third, and so on: evenly spread, and without a copy."""
        every = max(1, -(-len(self) // at_most))
        return Part(self.images[::every], self.labels[::every])

    def stretch(self, places: slice) -> "Part":
        """The images at these places, without a copy."""
        return Part(self.images[places], self.labels[places])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Normalisation:
    """Channel means and standard deviations, `(3,)` float32, of the training part.

    Training, evaluation and export all normalise with it, and see the images in its `view`; None
    = as they are.
    """

    mean: Tensor
    std: Tensor
    view: View | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """`(B, 3, r, r)` float32, normalised, channels_last, from `(B, H, W, 3)` uint8.

        r is the view's, or else that of the images.
        """
        gain, offset = self.affine()
        seen = images if self.view is None else self.view.cropped(images)
        pixels = (seen.float() * gain + offset).permute(0, 3, 1, 2)
        return pixels if self.view is None else self.view.resized(pixels)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The same as gain and offset, `(3,)` each, of pixels in [0, 255]."""
        return 1 / (255 * self.std), -self.mean / self.std


@dataclass(frozen=True)
class StoredRows:
    """Where images lie in the cache: what is computed of them there is shared by all trainings.

    Attributes:
        images: Of the whole training part, `(N, H, W, 3)` uint8, in their file.
        sha256: Of that part's content.
        folder: For what is computed of it.
        train: Rows, in the order of `ImageData.train`.
        validation: As `train`.
    """

    images: ImageRows
    sha256: str
    folder: Path
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class ImageData:
    """What a training sees: a training part, perhaps a validation part, and never the test part.

    `classes` are the names by label; `mirror` says whether a mirrored image still shows its class;
    `crop_size` is the side of the images' centre that is seen at most, None = all; `where` says in
    words where the images are, and why. `stored` says where all of them are in the cache; without
    it, `computed` keeps what is computed of them.
    """

    train: Part
    validation: Part | None
    classes: tuple[str, ...]
    mirror: bool
    crop_size: int | None = None
    where: str = ""
    stored: StoredRows | None = None
    computed: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @property
    def device(self) -> torch.device:
        """Where the images live."""
        return self.train.images.device

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        return self.train.images.shape[1]

    def view(self, resolution: int | None) -> View:
        """What a training at a resolution sees; None = the most."""
        crop = self.crop_size or self.side
        return View(self.side, crop, resolution or crop)

    @cached_property
    def normalisation(self) -> Normalisation:
        """From the training part; of images above 64 pixels, of about 1,000."""
        few = 1000 if self.side > SMALL else len(self.train)
        chosen = self.train.subsample(few).images
        return Normalisation(*channel_statistics(chosen), self.view(None))

    @cached_property
    def filters(self) -> Tensor:
        """Whitening filters, `(24, 3, 2, 2)`, for networks that see the most there is."""
        return self.filters_in(self.view(None))

    def filters_in(self, view: View) -> Tensor:
        """Whitening filters, `(24, 3, 2, 2)`, from about 5,000 evenly spread images, 500 large."""
        few = 500 if self.side > SMALL else 5000
        sample = self.train.images[:: max(1, len(self.train) // few)]
        seen = replace(self.normalisation, view=view)
        return whitening_filters(map(seen, sample.split(images_at_once(self.side))))


def images_at_once(side: int) -> int:
    """How many images of this side to handle at a time: a million pixels, which fit anywhere."""
    return max(1, 1000 * 32**2 // side**2)


def load_training_data(
    prepared: PreparedData,
    config: DataConfig,
    device: torch.device,
    place: ImagePlace = "auto",
    workers: int | None = None,
) -> ImageData:
    """The training and validation images of a prepared data set; the test file stays closed.

    They are at a place that was chosen, or where there is room; see `place_images`.
    """
    images, labels = image_rows(prepared, "train"), load_labels(prepared, "train")
    chosen = prepared.rows(config)
    count = len(chosen.train) + len(chosen.validation)
    place, where = place_images(_bytes(images, count), device, place, workers)

    def part(rows: np.ndarray) -> Part:
        return Part.placed(images.at(rows), labels[rows], device, place)

    validation = part(chosen.validation) if len(chosen.validation) else None
    stored = stored_rows(prepared, chosen.train, chosen.validation)
    known = prepared.classes, prepared.mirror, prepared.crop_size, where, stored
    return ImageData(part(chosen.train), validation, *known)


def load_rows(
    prepared: PreparedData,
    rows: np.ndarray,
    device: torch.device,
    place: ImagePlace = "auto",
    workers: int | None = None,
) -> tuple[Part, str]:
    """These rows of the training part, some perhaps twice, and where they are, in words."""
    images, labels = image_rows(prepared, "train"), load_labels(prepared, "train")
    place, where = place_images(_bytes(images, len(rows)), device, place, workers)
    return Part.placed(images.at(rows), labels[rows], device, place), where


def stored_rows(prepared: PreparedData, train: np.ndarray, validation: np.ndarray) -> StoredRows:
    """Where these rows of the training part, in this order, lie in the cache."""
    images, folder = image_rows(prepared, "train"), Path(prepared.folder).parent
    return StoredRows(images, prepared.train.sha256, folder / "features", train, validation)


def load_test_part(
    prepared: PreparedData, device: torch.device, place: ImagePlace = "auto"
) -> Part:
    """The test images: for the one evaluation after everything is decided."""
    images, labels = image_rows(prepared, "test"), load_labels(prepared, "test")
    place = place_images(_bytes(images, len(images)), device, place).place
    return Part.placed(images, labels, device, place)


def _bytes(images: ImageRows, count: int) -> int:
    return count * int(np.prod(images.shape[1:]))


def channel_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of `(N, H, W, 3)` uint8 training images.

    Two `(3,)` float32 tensors, in units of the full range: black = 0, white = 1.
    """
    pieces = map(_in_reach, images.split(images_at_once(images.shape[1])))
    counts = torch.stack([_counts(piece) for piece in pieces]).sum(0)
    levels = torch.arange(256, dtype=torch.float64, device=counts.device) / 255
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ levels
    variance = (share @ levels.square() - mean.square()).clamp_min(0)
    # A constant channel must not divide by zero.
    std = variance.sqrt().clamp_min(1e-3)
    return mean.float().to(images.device), std.float().to(images.device)


def _counts(images: Tensor) -> Tensor:
    """How often each channel has each level, `(3, 256)` int64."""
    channels = images.flatten(0, 2).T
    return torch.stack([torch.bincount(channel, minlength=256) for channel in channels])


def whitening_filters(batches: Iterable[Tensor]) -> Tensor:
    """Filters `(24, 3, 2, 2)` float32 that decorrelate 2x2 patches, each with its negative.

    They are the eigenvectors of the patches' second moments, strongest first, scaled to equal
    strength. The negatives keep what the activation would drop. Directions without variance are
    replaced by the strongest ones: a constant channel would upset batch norm.

    The batches, `(B, 3, H, W)` float32 and normalised, hold some thousands of training images.
    """
    total, count = torch.zeros(12, 12, dtype=torch.float64), 0
    for images in batches:
        # In images of twice 32 pixels and more, only every second, third, ... patch: neighbours
        # are alike.
        stride = max(1, images.shape[-1] // 32)
        patches = F.unfold(images, 2, stride=stride).transpose(1, 2).flatten(0, 1)
        patches = _in_reach(patches).double()
        total += (patches.T @ patches).cpu()
        count += len(patches)
    strengths, vectors = torch.linalg.eigh(total / count)
    # The sign of an eigenvector is arbitrary: fix it, so that machines agree.
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    scaled = vectors * largest.sign() / (strengths.clamp_min(0) + _EPS).sqrt()
    live = max(1, int((strengths > _FLAT).sum()))
    filters = scaled.flip(1).T[torch.arange(12) % live].reshape(12, 3, 2, 2)
    return torch.stack([filters, -filters], 1).flatten(0, 1).float().to(images.device)


def _in_reach(tensor: Tensor) -> Tensor:
    """The tensor where double precision is: on its device, or on the CPU."""
    return tensor if has_float64(tensor.device) else tensor.cpu()
