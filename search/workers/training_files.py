"""What trainings keep in the study's folder: checkpoints, and TensorBoard's event files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from records.outcome import Cause, EpochRecord, State
from records.trial import TrialRecord
from search.config import LoggingConfig
from search.plan import Plan

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from train_core.checkpoint import Checkpoint

_TRIAL, _CONFIRM, _FINAL = "trial", "confirm", "final"


def checkpoint_of_trial(plan: Plan, index: int) -> "Checkpoint":
    """That of a trial, by its place in the search, which it keeps when it is run again."""
    return _checkpoint(plan, f"{_TRIAL}-{index}")


def checkpoint_of_confirmation(plan: Plan, trial: int, seed: int, further: bool) -> "Checkpoint":
    """That of one confirmation, by the trial's number and the count of its (further) seeds."""
    return _checkpoint(plan, f"{_CONFIRM}-{trial}-{'further-' if further else ''}{seed}")


def checkpoint_of_final(plan: Plan, attempt: int) -> "Checkpoint":
    """That of the final training."""
    return _checkpoint(plan, f"{_FINAL}-{attempt}")


def _checkpoint(plan: Plan, name: str) -> "Checkpoint":
    from train_core.checkpoint import Checkpoint

    path = _checkpoints(plan) / f"{name}.safetensors"
    return Checkpoint(path, plan.config.workers.checkpoint_every)


def _checkpoints(plan: Plan) -> Path:
    return plan.folder / "checkpoints"


def sweep_trials(plan: Plan, trials: Sequence[TrialRecord], *, paused: bool = True) -> None:
    """Remove the checkpoints of trials that have ended; those of paused ones only if told so.

    A process that is killed between telling how a trial ended and removing its checkpoint leaves
    one behind.
    """
    ended = [t for t in trials if t.done or t.state == State.FAILED]
    ended = [t for t in ended if paused or t.cause != Cause.PAUSED]
    _remove(plan, *(f"{_TRIAL}-{t.index}.safetensors*" for t in ended if t.index is not None))


def sweep_finish(plan: Plan) -> None:
    """Remove the checkpoints of confirmations and final training: the winner is exported."""
    _remove(plan, f"{_CONFIRM}-*", f"{_FINAL}-*")


def _remove(plan: Plan, *patterns: str) -> None:
    # By pattern, since a kill in the middle of a write leaves a part of a file.
    for pattern in patterns:
        for path in _checkpoints(plan).glob(pattern):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # Not empty, or not there.
        _checkpoints(plan).rmdir()


def refuse_missing(config: LoggingConfig) -> None:
    """Raise ValueError, with the way to install it, if a package that is needed is not there."""
    if config.tensorboard and find_spec("tensorboard") is None:
        raise ValueError(
            "[logging] tensorboard = true needs the package 'tensorboard', but it is not "
            "installed: pip install 'convsearch[tensorboard]', or leave the key out"
        )


class EventFiles:
    """The event file of one training; without a folder it does nothing.

    Use it in a `with` statement. A training never fails because of it: `trouble` says in one line
    why nothing is written any more; None = all is well.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self.trouble: str | None = None

    def __enter__(self) -> Self:
        if self._folder is not None:
            with self._safely():
                # Imports TensorBoard, which takes a second.
                from torch.utils.tensorboard import SummaryWriter

                # A training that goes on from a checkpoint tells all its epochs again: what an
                # earlier process wrote of them no longer counts.
                self._writer = SummaryWriter(str(self._folder), purge_step=0)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            with self._safely():
                self._writer.close()

    def follow(self, records: Iterable[EpochRecord]) -> Iterator[EpochRecord]:
        """The same records, written as they pass by; each can be seen at once."""
        for record in records:
            if self._writer is not None:
                with self._safely():
                    for tag, value in scalars(record):
                        self._writer.add_scalar(tag, value, record.epoch)
                    self._writer.flush()
            yield record

    def end(self, params: Mapping[str, object], accuracy: float | None) -> None:
        """Write what the training was tried with, and its last validation accuracy, if any."""
        if self._writer is None:
            return
        metrics = {} if accuracy is None else {"hparam/validation_accuracy": accuracy}
        with self._safely():
            # Into the training's own folder, where TensorBoard takes both files for one run.
            self._writer.add_hparams(dict(params), metrics, run_name=".")

    @contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        # For instance a full disk: not worth the training.
        except Exception as error:  # noqa: BLE001
            self._writer = None
            self.trouble = f"event files in {self._folder} end here: {error}"


def event_files_of(plan: Plan, index: int | None = None) -> EventFiles:
    """Those of a trial, by its place in the search, or without one of the final training."""
    name = "final" if index is None else f"trial-{index:04d}"
    wanted = plan.config.logging.tensorboard
    return EventFiles(plan.folder / "tensorboard" / name if wanted else None)


def scalars(record: EpochRecord) -> Iterator[tuple[str, float]]:
    """Tag and value of everything about an epoch that is known."""
    values = {
        "loss/train": record.train_loss,
        "loss/validation": record.val_loss,
        "accuracy/train": record.train_accuracy,
        "accuracy/validation": record.val_accuracy,
        "learning_rate": record.lr,
        "images_per_second": record.images_per_second,
        "epoch_seconds": record.seconds,
    }
    return ((tag, value) for tag, value in values.items() if value is not None)
