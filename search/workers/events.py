"""What workers tell the session."""

from dataclasses import dataclass
from typing import Any

from records.outcome import Outcome


@dataclass(frozen=True)
class Began:
    """A training begins; its job is what it is called, for instance "trial 12"."""

    job: str
    description: str
    epochs: int
    trial: int | None = None  # Number of the trial; None = the training is none.


@dataclass(frozen=True)
class EpochEnded:
    """A training has finished an epoch; `accuracy` is what is maximised, None without a validation
    part."""

    job: str
    epoch: int
    accuracy: float | None
    images_per_second: float
    seconds: float = 0.0  # What its steps took, perhaps in an earlier process; 0 = not known.


@dataclass(frozen=True)
class Progressed:
    """Something that is no training has come so far."""

    job: str
    done: int
    total: int
    images_per_second: float | None = None


@dataclass(frozen=True)
class Ended:
    """A training ended: how, and why."""

    job: str
    outcome: Outcome


@dataclass(frozen=True)
class Done:
    """A task is over, with what it returned."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """A task could not be done: one line for people, and the traceback for the log."""

    message: str
    details: str


@dataclass(frozen=True)
class WorkerLost:
    """A worker's process is gone; another one takes its place and its task."""

    message: str


@dataclass(frozen=True)
class WorkerHung:
    """A worker gave no sign in a training, and its process was ended; another one follows."""

    training: Began
    reason: str  # For how long it was silent, and when.
    message: str


@dataclass(frozen=True)
class Warned:
    """Something went wrong that costs nobody a training."""

    message: str


Event = Began | EpochEnded | Progressed | Ended | WorkerLost | WorkerHung | Warned
