"""Workers as processes of this host."""

import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from records.machine.guard import UNGUARDED, no_guard, refuse_unguarded
from search.plan import Plan
from search.workers.engines import Engine, Handle, Open, Serve
from search.workers.interrupts import StopFlag, signals_held_back
from search.workers.worker import Slot, Task, work
from studies.broker import Broker

# Seconds to wait for a process that was killed: one that hangs in a driver may stay for ever.
MOURNING = 10.0
_CONTEXT = multiprocessing.get_context("spawn")


class ProcessHandle(Handle):
    """A worker that is a process."""

    ready = True  # A task can wait in the pipe.

    def __init__(self, process: SpawnProcess, connection: "Connection[object, Any]") -> None:
        self.process, self.connection = process, connection

    def send(self, task: Task | None) -> None:
        """Put a task into its pipe; None = let it go."""
        self.connection.send(task)

    def receive(self) -> object:
        """Wait for what it tells next."""
        return self.connection.recv()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end."""
        self.process.join(seconds)

    def ending(self) -> str:
        """Its exit code."""
        self.join(MOURNING)
        if (code := self.process.exitcode) == UNGUARDED:
            raise ValueError(no_guard()) from None
        return f"exit code {code}"


class Processes(Engine):
    """Starts processes, which end with the one that started them."""

    def start(self, slot: Slot, role: str, stop: StopFlag) -> ProcessHandle:
        """Start a process.

        Raises:
            ValueError: The script calls the search while a worker imports it.
        """
        refuse_unguarded()
        here, there = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=work, args=(there, slot, stop), name=f"{role}-{slot.number}"
        )
        with signals_held_back():
            process.start()
        there.close()
        return ProcessHandle(process, here)

    def wait(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        """Those whose pipe holds something, or whose end is closed."""
        known: dict[Any, Handle] = {
            h.connection: h for h in handles if isinstance(h, ProcessHandle)
        }
        return [known[connection] for connection in wait(list(known), seconds)]

    def places(self, gpus: int) -> int:
        """One per GPU, or one on a CPU."""
        return max(1, gpus)

    def broker(
        self, plan: Plan, open_broker: Open, serve_broker: Serve
    ) -> Callable[[Plan], Broker]:
        """Every process opens the database itself."""
        return partial(_open_here, open_broker=open_broker)

    def close(self) -> None:
        """Nothing is left when the processes are gone."""


def _open_here(plan: Plan, open_broker: Open) -> Broker:
    return open_broker(plan, None)
