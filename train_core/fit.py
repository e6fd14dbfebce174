"""`fit`: one training, as a generator of one record per epoch."""

import math
import time
from collections.abc import Iterator

from train_core.config import TrainConfig
from train_core.engine import Engine, EnginePool
from train_core.errors import Diverged, OutOfMemory, is_out_of_memory
from train_core.evaluate import score
from train_core.images import ImageData
from train_core.record import EpochRecord


def fit(
    config: TrainConfig, data: ImageData, engines: EnginePool | None = None
) -> Iterator[EpochRecord]:
    """Train one network; stop early by not asking for more.

    The same config and data give the same records, bit for bit, on one CPU with the same number
    of threads (apart from the times).

    Args:
        config: All that decides the training.
        data: What to learn from and what to score on.
        engines: Where the buffers live and where the trained network is afterwards
            (`engines.engine(config).average`); None = for this training only.

    Yields:
        One record after every epoch; the last one's `val_accuracy` is the training's result.

    Raises:
        Diverged: The loss is no longer finite.
        OutOfMemory: The device cannot hold the training.
    """
    try:
        yield from _epochs(config, (engines or EnginePool(data)).engine(config))
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or is_out_of_memory(error)):
            raise
        reason = str(error).splitlines()[0]
    else:
        return
    # Raised out here, the exception keeps no frame alive that holds the network.
    raise OutOfMemory(f"out of memory: {reason}")


def _epochs(config: TrainConfig, engine: Engine) -> Iterator[EpochRecord]:
    engine.start(config)
    best, since_best = -math.inf, 0
    for epoch in range(1, config.epochs + 1):
        record = _one_epoch(engine, epoch)
        if not math.isfinite(record.train_loss) or not math.isfinite(record.val_loss or 0.0):
            raise Diverged(epoch)
        yield record
        if record.val_accuracy is None:
            continue
        since_best = 0 if record.val_accuracy > best else since_best + 1
        best = max(best, record.val_accuracy)
        if config.patience and since_best >= config.patience:
            return


def _one_epoch(engine: Engine, epoch: int) -> EpochRecord:
    started = time.perf_counter()
    train_loss, train_accuracy, lr = engine.run_epoch()
    seconds = time.perf_counter() - started
    part, normalisation = engine.data.validation, engine.data.normalisation
    val_loss = val_accuracy = None
    if part is not None:
        val_loss, val_accuracy = score(engine.average, part, normalisation, engine.shape.dtype)
    return EpochRecord(
        epoch=epoch,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        lr=lr,
        seconds=seconds,
        images=engine.steps_per_epoch * engine.shape.batch_size,
    )
