"""Images that need no file: how fast they go through does not depend on what they show."""

import numpy as np
import torch

from benchmarks.gpu_part import Setting
from train_core.images import ImageData, Part

_COUNT, _FEW = 50_000, 256


def random_images(setting: Setting, device: torch.device, count: int = _COUNT) -> ImageData:
    """Noise, a little brighter from class to class, so that a loss has somewhere to go."""
    count = min(count, _FEW) if setting.smoke else count
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, count)
    images = random.integers(0, 150, (count, 32, 32, 3), dtype=np.uint8)
    images += (10 * labels).astype(np.uint8)[:, None, None, None]
    return ImageData(Part.of(images, labels, device), None, tuple("0123456789"), mirror=True)
