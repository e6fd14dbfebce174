"""The session's side of the workers: start them, hand out tasks, gather what they tell."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from records.words import duration
from search.config import WorkersConfig
from search.workers.engines import Engine, Handle
from search.workers.engines.chosen import engine_for
from search.workers.engines.patience import Patience, awake
from search.workers.engines.processes import MOURNING, Processes
from search.workers.events import (
    Began,
    Done,
    Ended,
    EpochEnded,
    Event,
    Failed,
    WorkerHung,
    WorkerLost,
)
from search.workers.interrupts import StopFlag, StopNow
from search.workers.worker import Slot, Task
from train_core.config import DeviceName, ImagePlace

_MAX_LOSSES = 3
_UNHEARD = 1.0  # Seconds of silence that may pass between two looks, and are not counted.


class WorkerDied(Exception):
    """Worker processes are gone again and again without having said why."""


class TaskFailed(Exception):
    """A task could not be done; `details` is the traceback in the worker, for the log."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.details = failed.details


@dataclass
class _Member:
    handle: Handle
    slot: Slot
    task: Task | None = None
    losses: int = 0  # Processes lost in this place since a training last got further in it.
    furthest: dict[str, int] = field(default_factory=dict)  # Job -> the last epoch heard of.
    training: Began | None = None  # What it is training, if it is.
    epoch: int = 0  # The last one of that training.
    paced: bool = False  # Whether its process has trained an epoch of it.
    silent: float = 0.0  # Seconds since it was last heard, while this process listened.

    def hear(self, told: object, patience: Patience) -> None:
        """Follow the training, and forget the losses, if there is progress."""
        if isinstance(told, Began):
            self.training, self.epoch, self.paced = told, 0, False
        elif isinstance(told, EpochEnded):
            patience.heard(self.silent)
            # One that took longer than the silence before it was read from a checkpoint.
            self.paced |= told.seconds <= self.silent + _UNHEARD
            self.epoch = told.epoch
        elif isinstance(told, Ended | Done):
            self.training = None
        self.silent = 0.0
        if isinstance(told, EpochEnded):
            if told.epoch <= self.furthest.get(told.job, 0):
                return  # Told again, from a checkpoint.
            self.furthest[told.job] = told.epoch
        if isinstance(told, EpochEnded | Ended | Done):
            self.losses = 0

    def give(self, task: Task) -> None:
        """Send a task; a worker that is gone is noticed where its answer is waited for."""
        self.task = task
        with suppress(OSError):
            self.handle.send(task)


@dataclass
class WorkerPool:
    """Workers and what they are doing, wherever the engine lets them run.

    Use it in a `with` statement, so that none is left behind.
    """

    threads: int | None  # CPU threads of each worker; None = an even share of the cores.
    role: str = "worker"  # What the processes are called, for those who look from outside.
    trains: bool = True  # Whether they will train, and should import torch while they wait.
    stop: StopFlag = field(default_factory=StopFlag)  # Set it to ask everybody to end.
    patience: Patience = field(default_factory=Patience)
    device: DeviceName = "auto"
    images: ImagePlace = "auto"
    most: int | None = None  # Workers that the pool will have at most; None = one per device.
    engine: Engine = field(default_factory=Processes)
    _members: list[_Member] = field(default_factory=list)
    _waiting: list[Task] = field(default_factory=list)  # Tasks that nobody has begun.

    @classmethod
    def as_asked(cls, asked: WorkersConfig, storage: str | None) -> Self:
        """The pool that a search's config asks for, with a study in this storage.

        Raises:
            ValueError: In one sentence, if its engine is not there.
        """
        return cls(
            asked.threads, device=asked.device, images=asked.images, most=asked.count,
            engine=engine_for(asked, storage),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.kill() if kind else self.close()
        finally:
            self.engine.close()

    def grow(self, count: int) -> None:
        """Start workers until there are `count`."""
        while len(self._members) < count:
            number, place, most = len(self._members), self.images, self.most
            slot = Slot(number, self.threads, self.trains, self.device, place, most)
            self._members.append(_Member(self._start(slot), slot))

    def run(self, tasks: list[Task]) -> Iterator[tuple[int, Event | Done | None]]:
        """Hand the tasks out, one at a time to each worker, and pass on what they tell.

        Yields:
            Worker number and event, `Done` for every task that ended; (-1, None) five times a
            second when nothing happens, so that the caller can look around.

        Raises:
            TaskFailed: A task could not be done.
            WorkerDied: Several processes in a row are gone in one place.
            ValueError: The script calls the search while a worker imports it.
        """
        self._waiting, last = list(tasks), time.monotonic()
        while True:
            for member in self._members:
                if self._waiting and member.task is None and member.handle.ready:
                    member.give(self._waiting.pop(0))
            busy = [m for m in self._members if m.task is not None]
            if not busy and (not self._waiting or self.stop.is_set()):
                return
            ready = self.engine.wait([m.handle for m in busy], 0.2)
            if not ready:
                yield -1, None
            for member in busy:
                if member.handle in ready:
                    yield member.slot.number, self._receive(member)
            silent = [m for m in busy if m.handle not in ready]
            yield from self._end_hung(silent, awake(time.monotonic() - last))
            last = time.monotonic()

    def call(self, task: Task) -> Any:
        """Have one worker do one task, and return its result.

        Raises:
            StopNow: Everybody was asked to come to an end; the task is not waited for.
        """
        for _, told in self.run([task]):
            if isinstance(told, Done):
                return told.result
            if self.stop.is_set():
                raise StopNow
        assert self.stop.is_set(), "a task ended without a result"
        raise StopNow

    def close(self) -> None:
        """Let the workers go when they are done."""
        for member in self._members:
            with suppress(OSError):  # It is gone already.
                member.handle.send(None)
        self._join()

    def kill(self) -> None:
        """End the workers at once; their trials are taken over by whoever asks next."""
        for member in self._members:
            member.handle.kill()
        self._join(MOURNING)

    def _join(self, seconds: float | None = None) -> None:
        for member in self._members:
            member.handle.join(seconds)
        self._members.clear()

    def _receive(self, member: _Member) -> Event | Done:
        try:
            told = member.handle.receive()
        except (EOFError, OSError):
            return self._replace(member)
        if isinstance(told, Done | Failed):
            member.task = None
        if isinstance(told, Failed):
            raise TaskFailed(told)
        assert isinstance(told, Event | Done)
        member.hear(told, self.patience)
        return told

    def _end_hung(self, members: list[_Member], passed: float) -> Iterator[tuple[int, Event]]:
        """End and replace those of the silent workers that hang.

        Whoever is told of one can settle its trial before another process looks for one.
        """
        for member in members:
            if (training := member.training) is None:
                continue
            member.silent += passed
            patience = self.patience
            if member.silent <= (patience.limit if member.paced else patience.first_limit):
                continue
            member.handle.kill()
            number, epoch = member.slot.number, member.epoch + 1
            reason = f"its worker gave no sign for {duration(member.silent)} in epoch {epoch}"
            line = f"worker {number} hangs at {training.job} and is ended: {reason}"
            member.handle.join(MOURNING)
            yield number, WorkerHung(training, reason, line)
            if training.trial is not None:
                member.losses -= 1  # A trial that is settled is progress.
            yield number, self._replace(member)

    def _replace(self, member: _Member) -> WorkerLost:
        """Start another worker in the place of one that is gone, with the same task."""
        member.losses += 1
        message = f"worker {member.slot.number} died ({member.handle.ending()})"
        if self.stop.is_set():
            member.task = None
            return WorkerLost(f"{message} while stopping")
        if member.losses > _MAX_LOSSES:
            raise WorkerDied(f"{message} for the {member.losses}th time without getting further")
        assert member.task is not None
        member.handle = self._start(member.slot)
        member.training, member.silent = None, 0.0
        if member.handle.ready:
            member.give(member.task)
        else:  # Whoever is free first takes it.
            self._waiting.insert(0, member.task)
            member.task = None
        return WorkerLost(f"{message}; another one takes over")

    def _start(self, slot: Slot) -> Handle:
        return self.engine.start(slot, self.role, self.stop)
