"""`Checkpoint`: a training's whole state in a file, so that a killed one goes on where it was."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save

from records.files import parts_of, write_whole
from records.outcome import EpochRecord
from train_core.config import TrainConfig
from train_core.engine import Engine
from train_core.networks.weights.reading import read_safetensors

_FACTS = "convsearch.checkpoint"


class OtherTraining(ValueError):
    """A checkpoint is not of the training that shall go on from it."""


@dataclass
class Checkpoint:
    """Where one training keeps, between two epochs, all that it needs to go on bit for bit.

    Weights, averages, the optimizer's buffers, the step and the random state; and the records so
    far. Nothing in the file is code: it is safetensors.

    Args:
        path: The file; its folder is made when it is first written.
        every: Seconds between two writes, and before the first one, at least; 0 = after every
            epoch. Where a write takes long, it is put off until it is a hundredth of the time.
        strict: Whether a file of another training is refused, rather than begun anew over.

    Attributes:
        resumed: Epochs that were done when the training last went on from the file; 0 = none.
    """

    path: Path
    every: float = 30.0
    strict: bool = False
    resumed: int = field(default=0, init=False)
    fold: int = 0  # Which fold's training it is, from 1; 0 = that of the usual split.
    folds: str = ""  # What tells the folds from others.
    before: Sequence[EpochRecord] = ()  # Of the folds that are trained already.
    _written: float = field(default_factory=time.monotonic)
    _cost: float = 0.0
    _pending: tuple[Engine, TrainConfig, list[EpochRecord]] | None = None

    def resume(self, engine: Engine, config: TrainConfig) -> list[EpochRecord]:
        """Bring a started engine to where the file says, and return the records up to there.

        A file of another training, a broken one or none leaves the engine at the beginning.

        Raises:
            OtherTraining: There is such a file, and the checkpoint is strict.
        """
        self.resumed = 0
        try:
            facts, tensors = read_safetensors(self.path, _FACTS)
        except OSError:
            return []
        other = self._other(facts, engine, config)
        if other is not None:
            if self.strict:
                raise OtherTraining(
                    f"a checkpoint must be of the training that goes on from it, but "
                    f"'{self.path}' {other}"
                )
            return []
        engine.restore(tensors)
        self.resumed = len(facts["records"])
        return [EpochRecord.model_validate(record) for record in facts["records"]]

    def _other(self, facts: Any, engine: Engine, config: TrainConfig) -> str | None:
        """Why the file is not this training's, in words; None = it is."""
        if facts is None:
            return "is none, or damaged"
        if (facts.get("fold", 0), facts.get("folds", "")) != (self.fold, self.folds):
            return "is of another fold"
        own = _identity(engine, config)
        saved = {**facts["training"], "config": _config(facts)}
        if saved == own:
            return None
        for key, value in own["config"].items():
            old = saved["config"][key]
            if old != value:
                return f"has {key} = {old} where it is now {value}"
        places = [f"{of['device']} in {of['dtype'].removeprefix('torch.')}" for of in (saved, own)]
        if places[0] != places[1]:
            return f"is of a training on {places[0]}, and this one is on {places[1]}"
        return "is of other images, or of another version of the network"

    def earlier_folds(self, config: TrainConfig, folds: str) -> list[EpochRecord]:
        """What the file says of the folds before the one that it can resume; [] if of others."""
        try:
            facts, _ = read_safetensors(self.path, _FACTS)
        except OSError:
            return []
        if facts is None or facts.get("folds", "") != folds:
            return []
        if _config(facts) != config.model_dump():
            return []
        return [EpochRecord.model_validate(record) for record in facts["before"]]

    def begin_fold(self, fold: int, folds: str, before: Sequence[EpochRecord]) -> None:
        """From now on the file is of this fold, from 1, of those that the text `folds` names."""
        self.fold, self.folds, self.before = fold, folds, before
        self._pending = None

    def epoch_ended(self, engine: Engine, config: TrainConfig, records: list[EpochRecord]) -> None:
        """Write the file, if the last time is long enough ago."""
        self._pending = engine, config, list(records)
        pause = max(self.every, 100 * self._cost) if self.every else 0.0
        if time.monotonic() - self._written >= pause:
            self.write()

    def write(self) -> None:
        """Write the file now, if an epoch has ended since; call it before the next one begins.

        Raises:
            OSError: For instance because the disk is full; an older file is still whole.
        """
        if self._pending is None:
            return
        started = time.monotonic()
        engine, config, records = self._pending
        facts: dict[str, Any] = {
            "training": _identity(engine, config),
            "records": _dumped(records),
        }
        if self.fold:
            facts |= {"fold": self.fold, "folds": self.folds, "before": _dumped(self.before)}
        content = save(engine.snapshot(), metadata={_FACTS: json.dumps(facts)})
        write_whole(self.path, content, durable=True)
        self._pending, self._written = None, time.monotonic()
        self._cost = self._written - started

    def remove(self) -> None:
        """The training has ended: remove its file, and what killed writers left of it."""
        self._pending = None
        for path in (self.path, *parts_of(self.path)):
            path.unlink(missing_ok=True)


def _dumped(records: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    return [record.model_dump() for record in records]


def _config(facts: Any) -> dict[str, Any]:
    """The settings of a file's training; keys that its version had not yet are as they were."""
    kept = facts["training"]["config"]
    return {k: kept.get(k, field.default) for k, field in TrainConfig.model_fields.items()}


def _identity(engine: Engine, config: TrainConfig) -> dict[str, Any]:
    """What must be the same for a training to go on; versions may differ in the network."""
    data = engine.data
    return {
        "config": config.model_dump(),
        "images": len(data.train),
        "side": data.side,
        "classes": list(data.classes),
        "mean": engine.normalisation.mean.tolist(),
        "std": engine.normalisation.std.tolist(),
        "dtype": str(engine.shape.dtype),
        "device": data.device.type,
        "weights": {name: list(p.shape) for name, p in engine.average.named_parameters()},
    }
