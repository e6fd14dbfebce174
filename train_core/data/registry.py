"""Data sets by name. To add one, write a function from `DataConfig` to `Source`, and list it."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from train_core.data.config import DataConfig
from train_core.data.digits import digits
from train_core.data.downloads import downloaded
from train_core.data.folder import folder
from train_core.data.source import Source

SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "cifar10": downloaded("CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": downloaded("CIFAR100", "cifar-100-python.tar.gz"),
    "fashion-mnist": downloaded("FashionMNIST", "FashionMNIST/raw/*-ubyte.gz"),
    "digits": digits,
}
"""Name -> what makes the data set ready to be read."""


def find_source(config: DataConfig) -> Source:
    """The data set of this name, or the folder at this path.

    Raises:
        ValueError: In one sentence, if it is neither.
    """
    if config.dataset in SOURCES:
        return SOURCES[config.dataset](config)
    if Path(config.dataset).is_dir():
        return folder(config)
    near = get_close_matches(config.dataset, SOURCES, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise ValueError(
        f"dataset must be one of {', '.join(SOURCES)} or a folder of images that exists, "
        f"but got '{config.dataset}'{': ' + hint.rstrip(' ') if hint else ''}"
    )
