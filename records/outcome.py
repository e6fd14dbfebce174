"""How a training goes and how it ends: `EpochRecord`, `State`, `Cause`, `Outcome`."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from records.words import Cost

_OF_THE_NETWORK = {"parameters", "latency"}  # The same after every epoch.


class State(StrEnum):
    """Where a trial stands."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"
    REQUEUED = "requeued"
    """Stopped from outside, or paused; it goes on under another number, and this one counts for
    nothing."""


class Cause(StrEnum):
    """Why a trial was pruned or failed."""

    RULE = "rule"  # The pruner stopped it, since it fell behind.
    PAUSED = "paused"  # The pruner stopped it for now; it stands as pruned unless it goes on.
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    ERROR = "error"  # A fault in the training or around it.
    WORKER_DIED = "worker died"


class EpochRecord(BaseModel):
    """One epoch, counted from 1. Losses are in nats per example, accuracies in [0, 1].

    Attributes:
        train_loss: Mean over the epoch's augmented images, with label smoothing.
        train_accuracy: On the epoch's augmented images while training.
        val_loss: Of the averaged weights, without smoothing; None without validation images.
        val_accuracy: On the same images: all of the validation part after the last epoch, perhaps
            a part of it before (`fit`).
        lr: Learning rate of the epoch's last step, for the batch size in use.
        seconds: Wall time of the epoch's training steps, validation not included.
        images: Training images seen in the epoch.
        fold: Which fold was held out, from 1, where a training is done on several in turn; epochs
            are then numbered through. None = the usual split.
        val_score: What is maximised, where that is not the accuracy.
        fold_score: What is maximised, of the fold alone, after its last epoch. `val_loss` and the
            others are means over all folds after the very last one.
        parameters: Of the network; None where nobody asked.
        latency: Seconds for one picture on one thread, of the network as ONNX; likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float
    images: int
    fold: int | None = None
    val_score: float | None = None
    fold_score: float | None = None
    parameters: int | None = None
    latency: float | None = None

    @property
    def score(self) -> float | None:
        """What is maximised: `val_accuracy` unless something else is; None without images."""
        return self.val_accuracy if self.val_score is None else self.val_score

    @property
    def images_per_second(self) -> float:
        """Training throughput of this epoch."""
        return self.images / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Outcome:
    """How a training ended. It holds no tensors, so nothing of the training outlives it.

    Attributes:
        state: COMPLETE, PRUNED, FAILED or REQUEUED.
        history: Its epochs, also those from before an interruption.
        cause: Why it was pruned or failed; None otherwise.
        reason: The same in words, one line.
        details: The traceback of a fault, for the log.
    """

    state: State
    history: tuple[EpochRecord, ...] = ()
    cause: Cause | None = None
    reason: str | None = None
    details: str = ""

    @classmethod
    def fault(cls, error: Exception, history: Sequence[EpochRecord] = ()) -> "Outcome":
        """That of a fault; call it where the exception is handled."""
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        details = traceback.format_exc()
        return cls(State.FAILED, tuple(history), Cause.ERROR, reason, details)

    @property
    def accuracy(self) -> float | None:
        """The last validation accuracy, in [0, 1]; None if there was none."""
        return self.history[-1].val_accuracy if self.history else None

    @property
    def score(self) -> float | None:
        """The last value of what is maximised; None if there was none."""
        return self.history[-1].score if self.history else None

    @property
    def costs(self) -> dict[str, float]:
        """What it cost, as far as it is known."""
        if not self.history:
            return {}
        last, seconds = self.history[-1], sum(record.seconds for record in self.history)
        found: dict[Cost, float | None] = {
            "parameters": last.parameters, "latency": last.latency, "train_seconds": seconds,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    @property
    def fold_scores(self) -> tuple[float, ...]:
        """The result of every fold that was trained to its end; () without folds."""
        return tuple(r.fold_score for r in self.history if r.fold_score is not None)


def columns(records: Sequence[EpochRecord]) -> dict[str, list[float | None]]:
    """The records of a training as one list per field, rounded to what plots can show.

    Of the fields that need not be there, only those that some record has.
    """
    found = {
        field: [_rounded(getattr(record, field)) for record in records]
        for field in EpochRecord.model_fields
        if field not in _OF_THE_NETWORK
    }
    wanted = {name for name, field in EpochRecord.model_fields.items() if field.is_required()}
    return {k: v for k, v in found.items() if k in wanted or v.count(None) < len(v)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
