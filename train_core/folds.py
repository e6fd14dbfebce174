"""`fit_folds`: one configuration trained on every fold in turn, scored by the mean over them."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
import torch

from records.outcome import EpochRecord
from records.words import Objective
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, load_part
from train_core.data.split import digest_of
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import ImageData, Part, load_training_data


class Folds:
    """Where trainings on the folds of one data set take place: buffers for one fold at a time.

    Attributes:
        pools: For every fold, its data and its buffers; one alone is the usual split.
        held_out: For every fold, the rows of the training part that are held out, `(N,)`.
        digest: A text that is the same exactly when the folds are.
        objective: What trainings are scored by.
        trained: Number, from 1, of the fold whose network is in its pool as the last record left
            it; None = of no fold.
    """

    def __init__(
        self, data: Sequence[ImageData], held_out: Sequence[np.ndarray], digest: str
    ) -> None:
        self.pools = [EnginePool(fold) for fold in data]
        self.held_out, self.digest = held_out, digest
        self.trained: int | None = None
        self.objective: Objective = "accuracy"

    def __len__(self) -> int:
        return len(self.pools)

    def clear(self) -> None:
        """Let go of all buffers."""
        for pool in self.pools:
            pool.clear()


def load_folds(prepared: PreparedData, config: DataConfig, device: torch.device) -> Folds:
    """The folds of a prepared data set; the test file stays closed.

    Several folds share their images: these are there twice, fold after fold and then all over
    again, so that whatever a fold trains on is one stretch of them.
    """
    folds = prepared.folds(config)
    held_out = [rows.validation for rows in folds]
    digest = f"{prepared.train.sha256[:20]} {digest_of(folds)} {device.type}"
    if len(folds) == 1:
        return Folds([load_training_data(prepared, config, device)], held_out, digest)
    arrays, once = load_part(prepared, "train"), np.concatenate(held_out)
    never = np.setdiff1d(folds[0].train, once)
    order = np.concatenate([once, never, once])
    every = Part.of(arrays.images[order], arrays.labels[order], device)
    data, start = [], 0
    for rows in folds:
        end = start + len(rows.validation)
        parts = every.stretch(end, end + len(rows.train)), every.stretch(start, end)
        data.append(ImageData(*parts, prepared.classes, prepared.mirror))
        start = end
    return Folds(data, held_out, digest)


def fit_folds(
    config: TrainConfig, folds: Folds, checkpoint: Checkpoint | None = None
) -> Iterator[EpochRecord]:
    """Train one configuration on every fold; on a single one, this is `fit`.

    Epochs are numbered through: those of the second fold follow those of the first. A record says
    its fold, and at the end of a fold its accuracy. The very last record's `val_loss` and
    `val_accuracy` are the means over the folds, the result. Every fold has the config's seed.

    Args:
        config: All that decides the trainings; without `patience`.
        folds: Their data and buffers; the buffers of earlier folds are let go.
        checkpoint: As for `fit`; the folds before the one that was interrupted are not trained
            again.

    Raises:
        Diverged: The loss is no longer finite in one of them.
        OutOfMemory: The device cannot hold one of them.
    """
    if len(folds) == 1:
        yield from fit(config, folds.pools[0].data, folds.pools[0], checkpoint, folds.objective)
        return
    assert not config.patience, "a fold must have all of its epochs"
    folds.trained = None
    before = checkpoint.earlier_folds(config, folds.digest) if checkpoint else []
    yield from before
    ends = [record for record in before if record.fold_score is not None]
    for number in range(len(ends) + 1, len(folds) + 1):
        pool, own = folds.pools[number - 1], []
        _let_go(folds, pool)
        if checkpoint:
            checkpoint.begin_fold(number, folds.digest, before)
        for record in fit(config, pool.data, pool, checkpoint, folds.objective):
            folds.trained = number
            own.append(_numbered(record, number, config.epochs))
            if own[-1].fold_score is not None:
                ends.append(own[-1])
            yield _mean(own[-1], ends) if len(ends) == len(folds) else own[-1]
        before = [*before, *own]


def _let_go(folds: Folds, but: EnginePool) -> None:
    for pool in folds.pools:
        if pool is not but and pool.shapes:
            pool.clear()


def _numbered(record: EpochRecord, fold: int, epochs: int) -> EpochRecord:
    """The record of a fold's training as one of the whole; at its end, with the fold's result."""
    result = record.score if record.epoch == epochs else None
    place = {"epoch": (fold - 1) * epochs + record.epoch, "fold": fold, "fold_score": result}
    return record.model_copy(update=place)


def _mean(last: EpochRecord, ends: Sequence[EpochRecord]) -> EpochRecord:
    """The last record of all, with the means over the folds."""
    names = "val_loss", "val_accuracy", "val_score"
    held_out = {name: [getattr(end, name) for end in ends] for name in names}
    known = {name: fmean(values) for name, values in held_out.items() if None not in values}
    return last.model_copy(update=known)
