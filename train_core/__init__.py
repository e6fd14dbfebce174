"""One training: config in, one record per epoch out. Knows nothing of tuners and studies.

How a training can end other than well; these are outcomes of a run, not faults of the caller
(`ValueError`) and not bugs:

    TrainingStopped
    |-- Diverged       the loss or a weight is no longer finite
    `-- OutOfMemory    the device cannot hold the training
"""


class TrainingStopped(Exception):
    """A training that cannot go on; its message is one line for people."""


class Diverged(TrainingStopped):
    """The loss is no longer finite in an epoch, counted from 1."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"diverged in epoch {epoch}: the loss is not finite")
        self.epoch = epoch


class OutOfMemory(TrainingStopped):
    """The device cannot hold the training."""
