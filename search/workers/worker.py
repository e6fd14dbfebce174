"""A worker: a process that lives for many trainings and does what the session sends it."""

import signal
import time
import traceback
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from records.files import full_disk_in_words, is_full_disk
from records.machine import die_with_parent
from records.words import Objective
from search.workers.cores import CoreShare
from search.workers.events import Done, Event, Failed, Warned
from search.workers.interrupts import SIGNALS, StopFlag
from train_core.config import DeviceName, ImagePlace

if TYPE_CHECKING:
    import torch

    from train_core.data.config import DataConfig
    from train_core.data.prepare import PreparedData
    from train_core.engine import EnginePool, Folds


@dataclass(frozen=True)
class Slot:
    """A worker's place."""

    number: int  # Counts from 0; GPUs are given out by it.
    threads: int | None  # CPU threads to compute with; None = an even share of the cores.
    trains: bool  # Whether it will train, and should import torch while it waits for a task.
    device: DeviceName = "auto"
    images: ImagePlace = "auto"  # Where they are while networks train.
    beside: int | None = None  # Workers on this machine, itself included; None = one per device.


class Worker:
    """What tasks find in a worker's process: the device, the data, the stop signal."""

    def __init__(self, slot: Slot, stop: StopFlag) -> None:
        self.slot, self._stop = slot, stop
        self._folds: dict[str, Folds] = {}

    @property
    def stopping(self) -> bool:
        """Whether the session asked everybody to come to an end."""
        return self._stop.is_set()

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, or until the session asks to come to an end."""
        ends = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < ends:
            time.sleep(min(seconds, 0.5))

    @cached_property
    def device(self) -> "torch.device":
        """The device, with torch set up for this worker's share of the machine."""
        from train_core.device import keep_freed_memory, pick_device

        keep_freed_memory()
        self.share_cores(fresh=True)
        return pick_device(self.slot.number, self.slot.device)

    @property
    def lost_its_device(self) -> bool:
        """Whether there is a device that no longer answers."""
        if "device" not in vars(self):
            return False
        from train_core.device import still_works

        return not still_works(self.device)

    @cached_property
    def _cores(self) -> CoreShare:
        return CoreShare(self.slot.threads)

    def share_cores(self, *, fresh: bool = False) -> None:
        """Compute with as many threads as there are cores for; call it now and then.

        `fresh`, when a training is about to begin, looks again at what else runs here.
        """
        import torch

        if (threads := self._cores.threads(fresh=fresh)) != torch.get_num_threads():
            torch.set_num_threads(threads)

    def engines(self, prepared: "PreparedData", config: "DataConfig") -> "EnginePool":
        """The engines for this data, of its first fold if there are several."""
        return self.folds(prepared, config).pools[0]

    def folds(
        self,
        prepared: "PreparedData",
        config: "DataConfig",
        objective: Objective = "accuracy",
    ) -> "Folds":
        """The folds of this data, where trainings are scored by an objective.

        The images are loaded when they are first needed.
        """
        from train_core.engine import Folds
        from train_core.images.folds import load_folds

        key = f"{prepared.folder} {prepared.mirror} {config.model_dump_json()}"
        if key not in self._folds:
            # One data set at a time: two would not fit on every device.
            self._folds.clear()
            place = self.slot.images, self.slot.beside
            self._folds[key] = Folds(load_folds(prepared, config, self.device, *place))
        self._folds[key].objective = objective
        self.share_cores(fresh=True)
        return self._folds[key]


class Task(Protocol):
    """Something that a worker can be sent: it yields events and returns a result."""

    def run(self, worker: Worker) -> Generator[Event, None, Any]:
        """Do it, in the worker's process."""
        ...


def work(connection: "Connection[Any, Any]", slot: Slot, stop: StopFlag) -> None:
    """The worker's whole life: receive tasks, send events, until there are no more tasks."""
    # A terminal sends Ctrl-C to every process, a service manager SIGTERM; only the session decides
    # what it means.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    worker = Worker(slot, stop)
    if slot.trains:
        with suppress(ValueError):  # The first task will say what is wrong with it.
            _ = worker.device
    while (task := connection.recv()) is not None:
        try:
            connection.send(Done(_run(task, worker, connection)))
        # Whatever it is, the session must hear of it rather than wait.
        except Exception as error:  # noqa: BLE001
            fault = fault_of(error, worker)
            connection.send(fault)
            if isinstance(fault, Warned):
                raise SystemExit(1) from None


def fault_of(error: Exception, worker: Worker) -> Failed | Warned:
    """What is told of a task that could not be done; a warning says that this process must end.

    Without a device, whatever it tries next would fail too; another one takes the task.
    """
    if worker.lost_its_device:
        return Warned(f"{worker.device} no longer answers, after: {_in_words(error)}")
    return Failed(_in_words(error), traceback.format_exc())


def _in_words(error: Exception) -> str:
    if is_full_disk(error):
        return full_disk_in_words(error)
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _run(task: Task, worker: Worker, connection: "Connection[Any, Any]") -> object:
    steps = task.run(worker)
    try:
        while True:
            connection.send(next(steps))
    except StopIteration as end:
        return end.value
