"""The session's side of the workers: start them, hand out tasks, gather what they tell."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Self

from records.machine.guard import UNGUARDED, no_guard, refuse_unguarded
from records.words import duration
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
from search.workers.interrupts import StopFlag, StopNow, signals_held_back
from search.workers.patience import Patience, awake
from search.workers.worker import Slot, Task, work
from train_core.config import DeviceName, ImagePlace

_MAX_LOSSES = 3
# Seconds to wait for a process that was killed: one that hangs in a driver may stay for ever.
_MOURNING = 10.0
_UNHEARD = 1.0  # Seconds of silence that may pass between two looks, and are not counted.
_CONTEXT = multiprocessing.get_context("spawn")


class WorkerDied(Exception):
    """Worker processes are gone again and again without having said why."""


class TaskFailed(Exception):
    """A task could not be done; `details` is the traceback in the worker, for the log."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.details = failed.details


@dataclass
class _Member:
    process: SpawnProcess
    connection: "Connection[object, Any]"
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
        """Send a task; a process that is gone is noticed where its answer is waited for."""
        self.task = task
        with suppress(OSError):
            self.connection.send(task)


@dataclass
class WorkerPool:
    """Worker processes and what they are doing.

    Use it in a `with` statement, so that no process is left behind.
    """

    threads: int | None  # CPU threads of each worker; None = an even share of the cores.
    role: str = "worker"  # What the processes are called, for those who look from outside.
    trains: bool = True  # Whether they will train, and should import torch while they wait.
    stop: StopFlag = field(default_factory=StopFlag)  # Set it to ask everybody to end.
    patience: Patience = field(default_factory=Patience)
    device: DeviceName = "auto"
    images: ImagePlace = "auto"
    most: int | None = None  # Workers that the pool will have at most; None = one per device.
    _members: list[_Member] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.kill() if kind else self.close()

    def grow(self, count: int) -> None:
        """Start workers until there are `count`."""
        while len(self._members) < count:
            number, place, most = len(self._members), self.images, self.most
            slot = Slot(number, self.threads, self.trains, self.device, place, most)
            self._members.append(self._start(slot))

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
        waiting, last = list(tasks), time.monotonic()
        while True:
            for member in self._members:
                if member.task is None and waiting:
                    member.give(waiting.pop(0))
            busy = [m for m in self._members if m.task is not None]
            if not busy:
                return
            ready = wait([m.connection for m in busy], timeout=0.2)
            if not ready:
                yield -1, None
            for member in busy:
                if member.connection in ready:
                    yield member.slot.number, self._receive(member)
            silent = [m for m in busy if m.connection not in ready]
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
        raise AssertionError("a task ended without a result")

    def close(self) -> None:
        """Let the workers go when they are done."""
        for member in self._members:
            with suppress(OSError):  # It is gone already.
                member.connection.send(None)
        self._join()

    def kill(self) -> None:
        """End the workers at once; their trials are taken over by whoever asks next."""
        for member in self._members:
            member.process.kill()
        self._join(_MOURNING)

    def _join(self, seconds: float | None = None) -> None:
        for member in self._members:
            member.process.join(seconds)
        self._members.clear()

    def _receive(self, member: _Member) -> Event | Done:
        try:
            told = member.connection.recv()
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
            member.process.kill()
            number, epoch = member.slot.number, member.epoch + 1
            reason = f"its worker gave no sign for {duration(member.silent)} in epoch {epoch}"
            line = f"worker {number} hangs at {training.job} and is ended: {reason}"
            member.process.join(_MOURNING)
            yield number, WorkerHung(training, reason, line)
            if training.trial is not None:
                member.losses -= 1  # A trial that is settled is progress.
            yield number, self._replace(member)

    def _replace(self, member: _Member) -> WorkerLost:
        """Start another process in the place of one that is gone, with the same task."""
        member.process.join(_MOURNING)
        code, member.losses = member.process.exitcode, member.losses + 1
        if code == UNGUARDED:
            raise ValueError(no_guard()) from None
        message = f"worker {member.slot.number} died (exit code {code})"
        if self.stop.is_set():
            member.task = None
            return WorkerLost(f"{message} while stopping")
        if member.losses > _MAX_LOSSES:
            raise WorkerDied(f"{message} for the {member.losses}th time without getting further")
        assert member.task is not None
        started = self._start(member.slot)
        member.process, member.connection = started.process, started.connection
        member.training, member.silent = None, 0.0
        member.give(member.task)
        return WorkerLost(f"{message}; another one takes over")

    def _start(self, slot: Slot) -> _Member:
        refuse_unguarded()
        here, there = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=work, args=(there, slot, self.stop), name=f"{self.role}-{slot.number}"
        )
        with signals_held_back():
            process.start()
        there.close()
        return _Member(process, here, slot)
