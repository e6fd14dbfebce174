"""Data sets: where images come from, how they are cached, and how they are split.

A layout of files is one module that makes a `Source`, as `folder` does. Nothing here imports
torch; the arrays become tensors in `train_core.images`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

PartName = Literal["train", "test"]


PUBLISHED = {
    "train": "as published",
    "validation": "split from training ([data] validation_fraction)",
    "test": "as published",
}
"""Where the parts of well-known data sets come from."""


@dataclass(frozen=True)
class Arrays:
    """One part of a data set: `(N, side, side, 3)` uint8, and labels `(N,)` int64 from 0 on."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Content:
    """One part of a data set as it is read.

    Attributes:
        images: `(N, side, side, 3)` uint8, or N of `(side, side, 3)`.
        labels: `(N,)` int64 from 0 on.
        paths: Those of the files, by row and relative to the data set's root; () = no files.
        groups: `(N,)` int64, the same for rows that belong together; None = each stands alone.
        validation: Rows of a validation part that is given; None = none is.
        copies: Rows of the test part with the same pixels as a row of the training part.
    """

    images: np.ndarray | Sequence[np.ndarray]
    labels: np.ndarray
    paths: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    validation: np.ndarray | None = None
    copies: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """A data set that can be read into arrays.

    Attributes:
        name: What messages call it.
        classes: Names of the classes, by label.
        mirror: Whether a mirrored image still shows its class.
        stamp: Cheap text that changes whenever the content may have changed.
        read: Reads one part, as `records.pixels.stored_side` squares of what the config asks for.
        content: Makes a text that is the same exactly when the content is; None = the stamp is.
        skipped: Files that `read` left out because they could not be read.
        mirror_why: Why `mirror` is as it is.
        listed: What `records.findings.Findings` says of it before anything is read.
        found: What it says of the content, once that is read.
        image_size: Side in pixels at which networks see the images, at most.
    """

    name: str
    classes: tuple[str, ...]
    mirror: bool
    stamp: str
    read: Callable[[PartName], Content]
    content: Callable[[], str] | None = None
    skipped: Callable[[], list[str]] = list
    mirror_why: str = "as usual for these pictures"
    listed: Mapping[str, Any] = field(default_factory=lambda: {"where": PUBLISHED})
    found: Callable[[], Mapping[str, Any]] = dict
    image_size: int = 32
