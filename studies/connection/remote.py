"""A study behind Optuna's gRPC proxy: its storage, and the locks that the proxy holds for it.

Needs the extra `proxy`.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from queue import SimpleQueue
from typing import Any

import grpc
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from studies.connection.outage import LockLost, connection_broke, under_lock, wait_out

PORT = 13000
# A stream per lock: of its study's name and which one; every answer says that it is held.
LOCK = "/convsearch.Locks/Hold"
# Of a host that vanished, the other side hears nothing: both ask after 30 seconds.
KEEPALIVE = [
    ("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
]  # fmt: skip
_PATIENCE = 10.0  # Seconds in which a proxy must answer for the first time.


class RemoteStorage(GrpcStorageProxy):
    """The storage behind a proxy, which is waited for when it is away; calls may be done twice."""

    def __init__(self, url: str) -> None:
        self.name = url
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(host=_host(url), port=_port(url))
        try:
            self.wait_server_ready(timeout=_PATIENCE)
        except ConnectionError:
            self.close()
            raise ConnectionError(
                "no proxy answers there: start python -m studies.proxy"
            ) from None

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As in Optuna; what the call before has done already is done."""

        def once() -> bool:
            return bool(super(RemoteStorage, self).set_trial_state_values(trial_id, state, values))

        def again() -> bool:
            try:
                return once()
            except UpdateFinishedTrialError:
                if self.get_trial(trial_id).state != state:
                    raise
                return True

        return wait_out(self.name, once, connection_broke, again)


@contextmanager
def remote_lock(url: str, study: str, what: str) -> Iterator[None]:
    """Hold a lock of a study for as long as the stream to the proxy is open.

    Raises:
        ConnectionError: No proxy answers.
        LockLost: The proxy was away meanwhile: others may have held it too.
    """
    lock = wait_out(url, lambda: _Lock(url, f"{study}\n{what}"), connection_broke)
    try:
        with nullcontext() if what else under_lock():
            yield
        if not what:
            lock.confirm()
    finally:
        lock.end()


class _Lock:
    """A lock that this process holds."""

    def __init__(self, url: str, label: str) -> None:
        self._url = url
        self._said: SimpleQueue[bytes] = SimpleQueue()
        hold = _channel(url).stream_stream(LOCK, _registered_method=False)
        self._stream = hold(iter(self._said.get, b""))
        self._ask(label.encode())

    def confirm(self) -> None:
        """Make sure that it was held all the time."""
        try:
            self._ask(b"still?")
        except grpc.RpcError:
            raise LockLost(f"the lock is gone with the proxy '{self._url}'") from None

    def end(self) -> None:
        self._said.put(b"")
        self._stream.cancel()

    def _ask(self, what: bytes) -> None:
        self._said.put(what)
        try:
            next(self._stream)
        except BaseException:
            self.end()
            raise


@cache
def _channel(url: str) -> grpc.Channel:
    return grpc.insecure_channel(f"{_host(url)}:{_port(url)}", options=KEEPALIVE)


def _host(url: str) -> str:
    return make_url(url).host or "localhost"


def _port(url: str) -> int:
    return make_url(url).port or PORT


def _lasting(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def waiting(self: RemoteStorage, *args: Any, **options: Any) -> Any:
        return wait_out(self.name, lambda: operation(self, *args, **options), connection_broke)

    return waiting


for _name in BaseStorage.__abstractmethods__ - {"set_trial_state_values"}:
    setattr(RemoteStorage, _name, _lasting(getattr(GrpcStorageProxy, _name)))
