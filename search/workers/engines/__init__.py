"""`Engine`: what starts workers, and where they run; `WorkerPool` is the same with all of them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from search.plan import Plan
from search.workers.interrupts import StopFlag
from search.workers.worker import Slot, Task
from studies.broker import Broker
from studies.broker.owner import Owner
from studies.broker.service import ServedBroker

# Opens a study's broker in a process; without an owner, for that process itself.
Open = Callable[[Plan, Owner | None], Broker]
Serve = Callable[[Plan, Owner], ServedBroker]


class Handle(Protocol):
    """A worker, as seen from the session."""

    @property
    def ready(self) -> bool:
        """Whether it has a place to run in; until then it gets no task."""
        ...

    def send(self, task: Task | None) -> None:
        """Give it a task; None = let it go.

        Raises:
            OSError: It is gone.
        """
        ...

    def receive(self) -> object:
        """The next that it tells of its task: an event, `Done` or `Failed`.

        Raises:
            EOFError, OSError: It is gone.
        """
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has gone; None = for ever."""
        ...

    def ending(self) -> str:
        """How one that is gone ended, in a few words; what it left behind is cleared.

        Raises:
            ValueError: It ended through a mistake of the caller's.
        """
        ...


class Engine(Protocol):
    """Starts workers; open from its first worker until `close`."""

    def start(self, slot: Slot, role: str, stop: StopFlag) -> Handle:
        """Start one, which may have to wait for a place; when `stop` is set it comes to an end."""
        ...

    def wait(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        """Those of the busy workers that have something to tell, after so many seconds at most."""
        ...

    def places(self, gpus: int) -> int:
        """How many workers there should be if nobody says, where one sees so many GPUs."""
        ...

    def broker(
        self, plan: Plan, open_broker: Open, serve_broker: Serve
    ) -> Callable[[Plan], Broker]:
        """What workers call to reach the study: its database, or a service beside that."""
        ...

    def close(self) -> None:
        """End what is left."""
        ...
