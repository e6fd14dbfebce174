"""Data sets: where images come from, how they are cached, and how they are split.

A layout of files is one module that makes a `Source`, as `folder` does. Nothing here imports
torch; the arrays become tensors in `train_core.images`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

PartName = Literal["train", "test"]


@dataclass(frozen=True)
class Arrays:
    """One part of a data set: `(N, side, side, 3)` uint8, and labels `(N,)` int64 from 0 on.

    `paths` are those of the files, by row and relative to the data set's root; () = no files.
    """

    images: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set that can be read into arrays.

    Attributes:
        name: What messages call it.
        classes: Names of the classes, by label.
        mirror: Whether a mirrored image still shows its class.
        stamp: Cheap text that changes whenever the content may have changed.
        read: Reads one part, images of the size that the config asks for.
        content: Makes a text that is the same exactly when the content is; None = the stamp is.
        skipped: Files that `read` left out because they could not be read.
    """

    name: str
    classes: tuple[str, ...]
    mirror: bool
    stamp: str
    read: Callable[[PartName], Arrays]
    content: Callable[[], str] | None = None
    skipped: Callable[[], list[str]] = list
