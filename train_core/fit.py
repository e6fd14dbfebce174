"""`fit`: one training, as a generator of one record per epoch; `fit_folds`: one on every fold.

`measure_speed`: how fast it is.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean

from records.outcome import EpochRecord
from records.words import Objective
from train_core import Diverged
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.device import out_of_memory, synchronize
from train_core.engine import Engine, EnginePool, Folds, Probe
from train_core.engine.curriculum import sides_of
from train_core.engine.frozen.probe import first_head
from train_core.engine.memory import forget_peak, memory_use, stopped_by
from train_core.images import ImageData, Part
from train_core.model import scores

MIDDLE_IMAGES = 2_500
"""Validation images, at most, that a training is scored on after every epoch but its last: enough
to see which trainings fall behind (docs/performance.md), and few enough to take little time."""


def fit(
    config: TrainConfig,
    data: ImageData,
    engines: EnginePool | None = None,
    checkpoint: Checkpoint | None = None,
    objective: Objective = "accuracy",
) -> Iterator[EpochRecord]:
    """Train one network; stop early by not asking for more.

    The same config and data give the same records, bit for bit, on one CPU with the same number
    of threads (apart from the times).

    Args:
        config: All that decides the training.
        data: What to learn from and what to score on.
        engines: Where the buffers live, and the trained network afterwards
            (`engines.engine(config).average`); None = buffers for this training only. Emptied
            when memory runs out.
        checkpoint: Where the state is kept and resumed from; None = always begin anew. The
            caller removes it when the training has ended for good.
        objective: What `val_score` of the records shall be, where that is not the accuracy.

    Yields:
        One record after every epoch, first those from before an interruption. The last one's
        `val_accuracy` is the training's result. The others' are of at most `MIDDLE_IMAGES`
        validation images, always the same ones, unless `patience` may end the training there.

    Raises:
        Diverged: The loss is no longer finite.
        OutOfMemory: The device cannot hold the training, also without what others left in
            `engines`; `Crowded`, if it is other processes that are in the way.
    """
    pool, told = EnginePool(data) if engines is None else engines, 0
    while True:
        engine: Engine | Probe | None = None
        begun = False
        forget_peak(data.device)
        try:
            engine = pool.engine(config)
            records = _start(config, engine, checkpoint)
            yield from records[told:]
            told = len(records)
            for record in _epochs(config, engine, records, checkpoint, objective):
                begun = True
                yield record
            return
        except (RuntimeError, MemoryError) as error:
            if (reason := out_of_memory(error)) is None:
                raise
        # Out here, no exception keeps a frame alive that holds the network.
        engine, use = None, memory_use(data.device)
        # What other trainings left may have taken the room.
        if begun or not pool.make_room(config):
            pool.clear()
            stopped = stopped_by(reason, use)
            raise stopped


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
        pool, own = folds.only(number), []
        if checkpoint:
            checkpoint.begin_fold(number, folds.digest, before)
        for record in fit(config, pool.data, pool, checkpoint, folds.objective):
            folds.trained = number
            own.append(_numbered(record, number, config.epochs))
            if own[-1].fold_score is not None:
                ends.append(own[-1])
            yield _mean(own[-1], ends) if len(ends) == len(folds) else own[-1]
        before = [*before, *own]


def measure_speed(config: TrainConfig, engines: EnginePool, seconds: float = 1.0) -> float:
    """Training images per second, over so many seconds and two steps at least, after a warm-up.

    Where images grow from epoch to epoch, it is the mean over the whole training.
    """
    engine = engines.engine(config)
    assert isinstance(engine, Engine), "a probe makes no steps"
    shares = Counter(sides_of(config.curriculum, engine.shape.view.side, config.epochs))
    each = [
        epochs * _seconds_per_step(config, engine, side, seconds / len(shares))
        for side, epochs in shares.items()
    ]
    return config.batch_size * config.epochs / sum(each)


def _seconds_per_step(config: TrainConfig, engine: Engine, side: int, seconds: float) -> float:
    """Those of a step on images of this size, over so many seconds and two steps at least."""
    _start_at(side, config, engine)
    _seconds_of(engine, 1)
    left = config.epochs * engine.steps_per_epoch - 1
    steps, spent = 0, 0.0
    while steps < 2 or spent < seconds:
        if not left:  # The schedule has run out.
            _start_at(side, config, engine)
            left = config.epochs * engine.steps_per_epoch
        # Ever longer runs, so that waiting for the device after each is lost in them.
        count = min(left, max(1, steps))
        spent += _seconds_of(engine, count)
        steps, left = steps + count, left - count
    return spent / steps


def _start_at(side: int, config: TrainConfig, engine: Engine) -> None:
    engine.start(config)
    engine.see(side)
    engine.shuffle()


def _start(
    config: TrainConfig, engine: Engine | Probe, checkpoint: Checkpoint | None
) -> list[EpochRecord]:
    """Begin a training or go on with it; the records of the epochs that it has behind it."""
    if isinstance(engine, Probe):
        return []
    engine.start(config)
    if config.method == "fine_tune":
        engine.start_from(first_head(config, engine.data))
    return checkpoint.resume(engine, config) if checkpoint else []


def _epochs(
    config: TrainConfig,
    engine: Engine | Probe,
    records: list[EpochRecord],
    checkpoint: Checkpoint | None,
    objective: Objective,
) -> Iterator[EpochRecord]:
    """Train the epochs that follow those of `records`, which grows."""
    if isinstance(engine, Probe):
        record = engine.run(config, objective)
        _refuse_infinite(record)
        yield record
        return
    while len(records) < config.epochs and not _out_of_patience(records, config.patience):
        epoch = len(records) + 1
        validation = engine.data.validation
        # Only a score that can be the result needs all of them.
        if validation is not None and not config.patience and epoch < config.epochs:
            validation = validation.subsample(MIDDLE_IMAGES)
        record = _one_epoch(engine, epoch, validation, objective)
        _refuse_infinite(record)
        records.append(record)
        if checkpoint:
            checkpoint.epoch_ended(engine, config, records)
        yield record


def _refuse_infinite(record: EpochRecord) -> None:
    if not math.isfinite(record.train_loss) or not math.isfinite(record.val_loss or 0.0):
        raise Diverged(record.epoch)


def _out_of_patience(records: list[EpochRecord], patience: int) -> bool:
    """Whether the best of the scores is `patience` epochs old."""
    scored = [r.score for r in records if r.score is not None]
    if not patience or not scored:
        return False
    return len(scored) - 1 - scored.index(max(scored)) >= patience


def _one_epoch(
    engine: Engine, epoch: int, held_out: Part | None, objective: Objective
) -> EpochRecord:
    started = time.perf_counter()
    train_loss, train_accuracy, lr = engine.run_epoch()
    seconds = time.perf_counter() - started
    val_loss = val_accuracy = val_score = None
    if held_out is not None:
        normalisation, dtype = engine.normalisation, engine.shape.dtype
        found = scores(engine.average, held_out, normalisation, dtype, objective)
        val_loss, val_accuracy, val_score = found
    return EpochRecord(
        epoch=epoch, train_loss=train_loss, train_accuracy=train_accuracy, val_loss=val_loss,
        val_accuracy=val_accuracy, lr=lr, seconds=seconds, images=engine.images_per_epoch,
        val_score=val_score,
    )  # fmt: skip


def _seconds_of(engine: Engine, steps: int) -> float:
    synchronize(engine.data.device)
    started = time.perf_counter()
    engine.run_steps(steps)
    synchronize(engine.data.device)
    return time.perf_counter() - started


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
