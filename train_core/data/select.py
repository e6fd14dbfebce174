"""From a prepared data set to the rows that one training learns from and is scored on."""

import hashlib
from dataclasses import dataclass

import numpy as np

from train_core.data.config import DataConfig
from train_core.data.split import stratified_split, stratified_subset


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

    The validation part depends on the labels, the fraction and the seed only, so searches with
    different training sizes are scored on the same images. `train_on_validation` then joins the
    two, so that a final training sees what its search has seen and nothing else.

    Args:
        labels: `(N,)`, of the whole training part.
        config: The fraction, the size, the seed, and whether to join; a seed of None counts as 0.
    """
    seed = config.split_seed or 0
    train, validation = stratified_split(labels, config.validation_fraction, seed)
    if config.train_size is not None:
        train = train[stratified_subset(labels[train], config.train_size, seed)]
    if config.train_on_validation:
        return Rows(np.union1d(train, validation), validation[:0])
    return Rows(train, validation)
