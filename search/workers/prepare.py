"""Preparing the data in a process of its own: no process that searches sees test images."""

from collections.abc import Generator
from dataclasses import dataclass

from search.workers.events import Event
from search.workers.interrupts import StopFlag
from search.workers.pool import WorkerPool
from search.workers.worker import Worker
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, prepare


@dataclass(frozen=True)
class _Mistake:
    """What is wrong with the data set that the user named."""

    message: str


@dataclass(frozen=True)
class _Prepare:
    """The task of bringing the data into the cache."""

    config: DataConfig

    def run(self, worker: Worker) -> Generator[Event, None, PreparedData | _Mistake]:
        yield from ()
        try:
            return prepare(self.config)
        except ValueError as mistake:
            return _Mistake(str(mistake))


def prepare_apart(config: DataConfig, stop: StopFlag) -> PreparedData:
    """`prepare`, elsewhere.

    Raises:
        ValueError: In one sentence, if there is no such data set or it cannot be read.
        StopNow: `stop` was set meanwhile.
    """
    with WorkerPool(None, role="prepare", trains=False, stop=stop) as apart:
        apart.grow(1)
        result: PreparedData | _Mistake = apart.call(_Prepare(config))
    if isinstance(result, _Mistake):
        raise ValueError(result.message)
    return result
