"""`EpochRecord`: what one epoch of a training came to."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class EpochRecord(BaseModel):
    """One epoch, counted from 1. Losses are in nats per example, accuracies in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    train_loss: float
    """Mean loss over the epoch's augmented images, with label smoothing."""

    train_accuracy: float
    """Share of the epoch's augmented images classified rightly while training."""

    val_loss: float | None
    """Mean cross-entropy of the averaged weights on validation images, without smoothing;
    None without a validation part."""

    val_accuracy: float | None
    """Accuracy of the averaged weights on the same images: all of the validation part after the
    last epoch, perhaps a part of it before (`fit`); None without one."""

    lr: float
    """Learning rate of the epoch's last step, for the batch size in use."""

    seconds: float
    """Wall time of the epoch's training steps, validation not included."""

    images: int
    """Training images seen in the epoch."""

    @property
    def images_per_second(self) -> float:
        """Training throughput of this epoch."""
        return self.images / max(self.seconds, 1e-9)


def columns(records: Sequence[EpochRecord]) -> dict[str, list[float | None]]:
    """The records of a training as one list per field, rounded to what plots can show."""
    return {
        field: [_rounded(getattr(record, field)) for record in records]
        for field in EpochRecord.model_fields
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
