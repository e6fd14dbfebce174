"""The data sets that have a name: torchvision's downloads, and scikit-learn's digits."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from records.pixels import stored_side
from train_core.data import PUBLISHED, Content, PartName, Source
from train_core.data.config import DataConfig
from train_core.data.decode import USUAL_SMALL, resize_all
from train_core.data.split import stratified_split

CLASSES = {
    "CIFAR10": "airplane automobile bird cat deer dog frog horse ship truck",
    "FashionMNIST": "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot",
    "CIFAR100": """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house
        kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
        mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
        plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew
        skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
        telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf
        woman worm
    """,
}
"""torchvision's name -> names of the classes in the order of the labels."""


def downloaded(class_name: str, archive: str, config: DataConfig) -> Source:
    """A data set of torchvision, such as "CIFAR10"; for the rest see `read_part`."""

    def read(part: PartName) -> Content:
        # torchvision takes seconds to import, and is needed only until the cache is made.
        from torchvision import datasets

        return read_part(getattr(datasets, class_name), archive, config, part)

    classes = tuple(CLASSES[class_name].split())
    return Source(
        config.dataset, classes, True, f"torchvision {class_name}", read,
        image_size=_image_size(config),
    )  # fmt: skip


def read_part(dataset: Any, archive: str, config: DataConfig, part: PartName) -> Content:
    """Use the files in `config.root`, or download them with progress and checksum.

    `dataset` is a data set class of torchvision; `archive` says what its files are called, for the
    message when they cannot be had.

    Raises:
        ValueError: The files are not there and cannot be downloaded.
    """
    try:
        loaded = dataset(root=config.root, train=part == "train", download=True)
    # torchvision lets through whatever the network, the archive or the disk raises.
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split()) or type(error).__name__
        folder = Path(config.root) / archive
        raise ValueError(
            f"{config.dataset} is not in '{config.root}' and could not be downloaded ({reason}): "
            f"put {folder} there yourself, or give a folder of images with --dataset FOLDER, "
            f"or try --dataset digits, which needs no download"
        ) from None
    images = resize_all(np.asarray(loaded.data), _side(config))
    return Content(images, np.asarray(loaded.targets, dtype=np.int64))


def digits(config: DataConfig) -> Source:
    """1,797 real 8x8 images that need no download, with a test part that is always the same."""

    def read(part: PartName) -> Content:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        kept, held_out = stratified_split(bunch.target, config.test_fraction, seed=0)
        rows = kept if part == "train" else held_out
        grey = np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8)
        return Content(resize_all(grey, _side(config)), bunch.target[rows].astype(np.int64))

    where = {**PUBLISHED, "test": "split off, the same for everybody"}
    return Source(
        "digits", tuple("0123456789"), False, "scikit-learn digits", read,
        mirror_why="as a mirrored digit is another sign", listed={"where": where},
        image_size=_image_size(config),
    )  # fmt: skip


def _image_size(config: DataConfig) -> int:
    return config.image_size or USUAL_SMALL


def _side(config: DataConfig) -> int:
    return stored_side(_image_size(config), config.fit)


BUILTIN: dict[str, Callable[[DataConfig], Source]] = {
    "cifar10": partial(downloaded, "CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": partial(downloaded, "CIFAR100", "cifar-100-python.tar.gz"),
    "fashion-mnist": partial(downloaded, "FashionMNIST", "FashionMNIST/raw/*-ubyte.gz"),
    "digits": digits,
}
"""Name -> what makes the data set ready to be read; to add one, list a function like these."""
