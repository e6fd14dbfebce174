"""How a training can end other than well.

    TrainingStopped
    |-- Diverged       the loss or a weight is no longer finite
    `-- OutOfMemory    the device cannot hold the training

These are a run's outcomes, not faults of the caller (`ValueError`) and not bugs.
"""

_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuDNN says so when no algorithm's workspace fits.
    "unable to find an engine to execute this computation",
)


class TrainingStopped(Exception):
    """A training that cannot go on; its message is one line for people."""


class Diverged(TrainingStopped):
    """The loss is no longer finite.

    Attributes:
        epoch: The epoch in which it happened, counted from 1.
    """

    def __init__(self, epoch: int) -> None:
        """Remember the epoch."""
        super().__init__(f"diverged in epoch {epoch}: the loss is not finite")
        self.epoch = epoch


class OutOfMemory(TrainingStopped):
    """The device cannot hold the training."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch says that memory is exhausted, on a GPU or on a CPU."""
    # Those who only handle these exceptions should not have to wait for torch.
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    said = str(error) if isinstance(error, RuntimeError) else ""
    return any(words in said for words in _NO_MEMORY)
