"""One training: config in, one record per epoch out. Knows nothing of tuners and studies."""


class TrainingStopped(Exception):
    """A training that cannot go on: no fault of the caller (`ValueError`) and no bug.

    Its message is one line for people.
    """


class Diverged(TrainingStopped):
    """The loss is no longer finite in an epoch, counted from 1."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"diverged in epoch {epoch}: the loss is not finite")
        self.epoch = epoch


class OutOfMemory(TrainingStopped):
    """The device cannot hold the training."""


class Crowded(OutOfMemory):
    """The device could hold the training, but not beside what other processes hold just now."""
