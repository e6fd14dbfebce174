"""Which images a training learns from and is scored on: stratified choices by a seed."""

import hashlib
from dataclasses import dataclass

import numpy as np

from train_core.data.config import DataConfig


@dataclass(frozen=True)
class Rows:
    """Rows of the training part of a data set, both ascending."""

    train: np.ndarray
    validation: np.ndarray

    def digest(self) -> str:
        """A text that is the same exactly when the rows are."""
        both = np.concatenate([self.train, [-1], self.validation]).astype(np.int64)
        return hashlib.sha256(both.tobytes()).hexdigest()[:20]


def choose_rows(labels: np.ndarray, config: DataConfig) -> Rows:
    """Split off the validation part, then take `train_size` of the rest.

    The validation part depends on the labels, `(N,)`, the fraction and the seed only, so searches
    with different training sizes are scored on the same images. `train_on_validation` then joins
    the two, so that a final training sees what its search has seen and nothing else.
    """
    seed = config.split_seed or 0
    train, validation = stratified_split(labels, config.validation_fraction, seed)
    if config.train_size is not None:
        train = train[stratified_subset(labels[train], config.train_size, seed)]
    if config.train_on_validation:
        return Rows(np.union1d(train, validation), validation[:0])
    return Rows(train, validation)


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay and a share of every class that is set aside, both ascending.

    The same seed and labels, `(N,)`, give the same split. Every class gives and keeps at least one
    image, unless the fraction, in [0, 1), is 0: then none is set aside.

    Raises:
        ValueError: A class has fewer than two images.
    """
    if fraction == 0:
        return np.arange(len(labels)), np.arange(0)
    random = np.random.default_rng(seed)
    aside = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise ValueError(
                f"every class needs at least 2 images to set one aside, but class {label} has "
                f"{len(rows)}: add images or remove the class"
            )
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        aside.append(random.permutation(rows)[:count])
    chosen = np.sort(np.concatenate(aside))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def stratified_subset(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Choose `(size,)` rows, ascending, so that classes keep their shares as far as can be.

    The same seed and labels, `(N,)`, give the same choice.

    Raises:
        ValueError: The size is not between the number of classes and N.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise ValueError(
            f"train_size must be between the number of classes ({len(classes)}) and the number of "
            f"training images ({len(labels)}), but got {size}"
        )
    random = np.random.default_rng(seed)
    # Largest remainders: floors first, then one more where the rounding took most.
    exact = counts * size / len(labels)
    take = np.maximum(np.floor(exact).astype(int), 1)
    for index in np.argsort(take - exact, kind="stable"):
        take[index] += int(take.sum() < size)
    while take.sum() > size:
        take[np.argmax(take)] -= 1
    picked = [
        random.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(picked))
