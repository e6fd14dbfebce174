"""The folds of a data set on the device: each one's images once, whatever it is held out of."""

from dataclasses import dataclass

import numpy as np
import torch

from train_core.config import ImagePlace
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData
from train_core.data.split import digest_of
from train_core.images import ImageData, load_rows, load_training_data, stored_rows


@dataclass(frozen=True)
class FoldData:
    """What is trained and scored on in turn; one alone is the usual split.

    Attributes:
        data: That of every fold.
        held_out: For every fold, the rows of the training part that are held out, `(N,)`.
        digest: A text that is the same exactly when the folds are.
    """

    data: list[ImageData]
    held_out: list[np.ndarray]
    digest: str


def load_folds(
    prepared: PreparedData,
    config: DataConfig,
    device: torch.device,
    place: ImagePlace = "auto",
    workers: int | None = None,
) -> FoldData:
    """The folds of a prepared data set; the test file stays closed.

    Several folds share their images: these are there twice, fold after fold and then all over
    again, so that whatever a fold trains on is one stretch of them. Other arguments are those of
    `load_training_data`.
    """
    folds = prepared.folds(config)
    held_out = [rows.validation for rows in folds]
    digest = f"{prepared.train.sha256[:20]} {digest_of(folds)} {device.type}"
    if len(folds) == 1:
        return FoldData(
            [load_training_data(prepared, config, device, place, workers)], held_out, digest
        )
    once = np.concatenate(held_out)
    never = np.setdiff1d(folds[0].train, once)
    order = np.concatenate([once, never, once])
    every, where = load_rows(prepared, order, device, place, workers)
    data, start = [], 0
    for rows in folds:
        end = start + len(rows.validation)
        train, held = slice(end, end + len(rows.train)), slice(start, end)
        stored = stored_rows(prepared, order[train], order[held])
        known = prepared.classes, prepared.mirror, prepared.crop_size, where, stored
        data.append(ImageData(every.stretch(train), every.stretch(held), *known))
        start = end
    return FoldData(data, held_out, digest)
