"""Pictures whose class is a mark in one corner, and a real network that has learned them."""

import numpy as np

from tests.conftest import CPU
from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, Part
from train_core.model import TrainedModel, load_model, save_model, trained_model

SIDE, MARK = 32, 10


def corners(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a red, green or blue square, which is the class, in a corner that says nothing.

    Returns `(count, 32, 32, 3)` uint8, labels, and corners `(count, 2)`: 1 = low, 1 = right.
    """
    random = np.random.default_rng(seed)
    labels, places = np.arange(count) % 3, random.integers(0, 2, (count, 2))
    images = random.integers(60, 140, (count, SIDE, SIDE, 3)).astype(np.uint8)
    for image, label, (low, right) in zip(images, labels, places * (SIDE - MARK), strict=True):
        mark = image[low : low + MARK, right : right + MARK]
        mark //= 3
        mark[..., label] += 180
    return images, labels, places


def learned(network: str, path) -> TrainedModel:
    """A model of these pictures, saved at a path."""
    train, validation = (Part.of(*corners(n, n)[:2], CPU) for n in (240, 60))
    data = ImageData(train, validation, ("red", "green", "blue"), mirror=False)
    epochs, lr = {"convnet": (6, 8.0), "resnet": (3, 0.5)}[network]
    config = TrainConfig(
        network=network, width=8, depth=1, epochs=epochs, batch_size=24, optimizer="sgd", lr=lr,
        precision="fp32", augment=0.0,
    )  # fmt: skip
    engines = EnginePool(data)
    for _ in fit(config, data, engines):
        pass
    save_model(path, trained_model(engines.engine(config)))
    return load_model(path)
