"""Training images for those who measure speed."""

import numpy as np

from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import pick_device
from train_core.images import ImageData, Part, load_training_data

COUNT = 12_800
"""Images per epoch, unless something else is asked for."""


def training_images(dataset: str | None, count: int = COUNT) -> ImageData:
    """Images of a data set, or random ones: how fast they go through is the same."""
    device = pick_device()
    if dataset is not None:
        config = DataConfig(dataset=dataset, train_size=count)
        return load_training_data(prepare(config), config, device)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    part = Part.of(images, random.integers(0, 10, count), device)
    return ImageData(part, None, tuple("0123456789"), mirror=True)
