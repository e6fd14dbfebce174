"""Workers as Ray actors, on the nodes of a cluster.

An actor runs the same tasks as a process, and what they tell comes back as a stream. Ray places
actors, and does not restart them: the pool does, as it does with processes, since only it knows
what they were doing. The session's own node serves the broker, where the study's database is.
"""

import os
import socket
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from search.config import WorkersConfig
from search.plan import Plan
from search.workers.engines import Engine, Handle, Open, Serve
from search.workers.engines.cluster import connect, node_here
from search.workers.events import Done, Event, Failed, Warned
from search.workers.interrupts import StopFlag
from search.workers.worker import Slot, Task, Worker, fault_of
from studies.broker import Broker
from studies.broker.owner import Owner
from studies.broker.service import BrokerService, RemoteBroker
from studies.storage import backend

_FAREWELL = 30.0  # Seconds that clearing up may take at the end; the next search does it too.


class _WorkerActor:
    """A worker's side: what a process does in `work`."""

    def __init__(self, slot: Slot, folder: str) -> None:
        _go_to(folder)
        self._stop = StopFlag()
        self._worker = Worker(slot, self._stop)

    def perform(self, task: Task) -> Generator[Event | Done | Failed, None, None]:
        """Do a task; the stream ends with `Done` or `Failed`, or with this actor."""
        try:
            yield Done((yield from task.run(self._worker)))
        # Whatever it is, the session must hear of it rather than wait.
        except Exception as error:  # noqa: BLE001
            fault = fault_of(error, self._worker)
            yield fault
            if isinstance(fault, Warned):
                os._exit(1)

    def stop(self) -> None:
        """Ask the task to come to an end; called while it runs."""
        self._stop.set()


class _BrokerActor(BrokerService):
    """The broker's side, in the folder of the session."""

    def __init__(self, open_broker: Callable[[Owner], Any], folder: str) -> None:
        _go_to(folder)
        super().__init__(open_broker)


def _go_to(folder: str) -> None:
    """Work where the session does, since its paths may be relative.

    Raises:
        ValueError: There is no such folder.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise ValueError(
            f"every node must have the folder of the search, such as on a shared disk, but "
            f"'{folder}' on {socket.gethostname()}: {error.strerror}"
        ) from None


class ActorHandle(Handle):
    """A worker that is an actor."""

    def __init__(self, actor: Any, bury: Callable[["ActorHandle"], None]) -> None:
        self.actor, self._bury = actor, bury
        self.name: str = actor._actor_id.hex()
        self.stream: Any = None
        self._begun = actor.__ray_ready__.remote()
        self._fault = ""

    @property
    def ready(self) -> bool:
        """Whether the cluster has found a place for it, or it ended before it had begun."""
        return bool(ray.wait([self._begun], timeout=0)[0])

    def send(self, task: Task | None) -> None:
        """Begin a task; None = end it, which is not doing any."""
        if task is None:
            self.kill()
        else:
            self.stream = self.actor.perform.options(num_returns="streaming").remote(task)

    def receive(self) -> object:
        """The next that it tells.

        Raises:
            EOFError: It is gone, or its node is.
        """
        try:
            return ray.get(next(self.stream))
        except StopIteration:
            raise EOFError("its stream ended without a result") from None
        except RayError as error:
            self._fault = _in_words(error)
            raise EOFError(self._fault) from None

    def kill(self) -> None:
        """End its process."""
        ray.kill(self.actor)

    def join(self, seconds: float | None = None) -> None:
        """Nobody can wait for another node's process; what it tells from now on counts no more."""

    def ending(self) -> str:
        """What Ray says of its end; its trials are run again."""
        self._bury(self)
        return self._fault or "ended"


def _in_words(error: RayError) -> str:
    """The first sentence, or the one of ours for which an actor could not begin."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    ours = [line for line in lines if line.startswith("ValueError: ")]
    return ours[-1].removeprefix("ValueError: ") if ours else lines[0].partition(". ")[0]


class RayEngine(Engine):
    """Starts actors, spread over the nodes.

    Args:
        config: How many there may be on a GPU, which cluster, which device.
        storage: URL of the study's database; None = SQLite in its folder.
    """

    def __init__(self, config: WorkersConfig, storage: str | None) -> None:
        self._config = config
        self._direct = storage is not None and backend(storage) != "sqlite"
        self._session, self._folder = Owner.this_session(), str(Path.cwd())
        self._alive: dict[str, ActorHandle] = {}
        self._told_to_stop, self._stop = False, StopFlag()
        self._service: Any = None
        self._disconnect = connect(config)

    def start(self, slot: Slot, role: str, stop: StopFlag) -> ActorHandle:
        """Ask for an actor, wherever there is room for one."""
        self._stop = stop
        # Its annotations know no groups.
        with_control: Any = partial(ray.remote, concurrency_groups={"control": 1})
        asked = with_control()(_WorkerActor).options(
            num_cpus=slot.threads or 1, num_gpus=self._share, scheduling_strategy="SPREAD"
        )
        actor = asked.remote(slot, self._folder)
        handle = ActorHandle(actor, self._bury)
        self._alive[handle.name] = handle
        return handle

    def wait(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        """Those whose stream has a next item, or has broken off."""
        self._pass_on_stop()
        streams = [h.stream for h in handles if isinstance(h, ActorHandle)]
        if not streams:
            ray.wait([h._begun for h in self._alive.values()], timeout=seconds)
            return []
        first, _ = ray.wait(streams, timeout=seconds, fetch_local=False)
        if not first:
            return []
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0, fetch_local=False)
        return [h for h in handles if any(getattr(h, "stream", None) is s for s in ready)]

    def places(self, gpus: int) -> int:
        """As many as share the cluster's GPUs, or one per node."""
        found = int(ray.cluster_resources().get("GPU", 0)) if gpus else 0
        return found * self._config.per_gpu or sum(node["Alive"] for node in ray.nodes())

    def broker(
        self, plan: Plan, open_broker: Open, serve_broker: Serve
    ) -> Callable[[Plan], Broker]:
        """Through the broker's actor on this node, or each directly if a server has the study."""
        if self._service is None:
            self._service = _serve(plan, partial(serve_broker, plan), self._folder)
        if self._direct:
            return partial(_reach_directly, session=self._session, open_broker=open_broker)
        return partial(_reach, session=self._session, service=self._service)

    def close(self) -> None:
        """End the actors, have their trials run again by whoever comes next, and disconnect."""
        for handle in self._alive.values():
            handle.kill()
        self._lose(list(self._alive))
        self._alive.clear()
        self._service = None
        self._disconnect()

    @property
    def _share(self) -> float:
        gpus = self._config.device in ("auto", "cuda") and ray.cluster_resources().get("GPU", 0)
        return 1 / self._config.per_gpu if gpus else 0.0

    def _pass_on_stop(self) -> None:
        if self._stop.is_set() and not self._told_to_stop:
            self._told_to_stop = True
            for handle in self._alive.values():
                handle.actor.stop.options(concurrency_group="control").remote()

    def _bury(self, handle: ActorHandle) -> None:
        if self._alive.pop(handle.name, None) is not None:
            handle.kill()  # Perhaps it is only out of reach.
            self._lose([handle.name])

    def _lose(self, names: list[str]) -> None:
        if self._service is not None and names:
            try:
                ray.get(self._service.lose.remote(self._session, names), timeout=_FAREWELL)
            except (RayError, GetTimeoutError):  # The next search sees that this session is gone.
                return


def _serve(plan: Plan, open_broker: Callable[[Owner], Any], folder: str) -> Any:
    """The broker's actor: it comes back after every end, and calls are made until they succeed."""
    asked = ray.remote(_BrokerActor).options(
        name=f"broker of {plan.name} for {os.getpid()}",
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        scheduling_strategy=node_here(),
    )
    return asked.remote(open_broker, folder)


def _this_worker(session: Owner) -> Owner:
    name = ray.get_runtime_context().get_actor_id()
    return session.model_copy(update={"actor": name})


def _reach(plan: Plan, session: Owner, service: Any) -> RemoteBroker:
    def call(method: str, *arguments: object) -> Any:
        try:
            return ray.get(getattr(service, method).remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    return RemoteBroker(_this_worker(session), call)


def _reach_directly(plan: Plan, session: Owner, open_broker: Open) -> Broker:
    return open_broker(plan, _this_worker(session))
