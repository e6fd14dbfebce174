"""scikit-learn's handwritten digits: 1,797 real 8x8 images that need no download."""

import numpy as np

from train_core.data.config import DataConfig
from train_core.data.decode import resize_all
from train_core.data.source import Arrays, PartName, Source
from train_core.data.split import stratified_split


def digits(config: DataConfig) -> Source:
    """The digits 0 to 9, with a part held out for the test, the same images always."""

    def read(part: PartName) -> Arrays:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        kept, held_out = stratified_split(bunch.target, config.test_fraction, seed=0)
        rows = kept if part == "train" else held_out
        grey = np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8)
        return Arrays(resize_all(grey, config.image_size), bunch.target[rows].astype(np.int64))

    return Source(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        mirror=False,
        stamp="scikit-learn digits",
        content=lambda: "scikit-learn digits",
        read=read,
    )
