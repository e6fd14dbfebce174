"""`python -m studies.proxy`: Optuna's gRPC proxy before a storage, with the locks of our studies.

For many workers on one database, or for hosts that reach this one and not the database. It has no
accounts: whoever reaches it may change every study. Needs the extra `proxy`.
"""

import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from optuna.storages import BaseStorage, get_storage
from typer import Option

from records.command_line import RunsOption, new_app, run_app, say, user_mistakes
from studies.storage import make_storage, refuse_unusable, shown, study_lock

if TYPE_CHECKING:
    import grpc

# Each one who waits for a lock takes a thread, and nobody may wait for a thread.
_THREADS = 4096

app = new_app()


@app.command()
def main(
    storage: Annotated[str, Option(help="URL of the storage behind it")],
    host: Annotated[str, Option(help="address to listen on; 0.0.0.0 = all")] = "127.0.0.1",
    port: Annotated[int, Option(help="0 = any that is free")] = 13000,
    runs: RunsOption = "runs",
) -> int:
    """Serve a storage at grpc://HOST:PORT, for --storage of the other commands."""
    with user_mistakes():
        refuse_unusable(storage)
        server, port = serve(storage, host, port, Path(runs))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say(f"{shown(storage)} on grpc://{host}:{port} (Ctrl-C ends it)")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(1).wait()
    return 0


def serve(url: str, host: str, port: int, runs: Path) -> "tuple[grpc.Server, int]":
    """Start a proxy; returns it and its port.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened, the address is taken, or
            gRPC is not installed.
    """
    try:
        import grpc
        from optuna.storages._grpc import servicer
        from optuna.storages._grpc.auto_generated import api_pb2_grpc

        from studies.connection.remote import KEEPALIVE, LOCK
    except ImportError as error:
        raise ValueError(
            f"the proxy needs gRPC ({error}): pip install convsearch[proxy]"
        ) from None
    behind: BaseStorage = get_storage(make_storage(url))
    options = [*KEEPALIVE, ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
    api_pb2_grpc.add_StorageServiceServicer_to_server(  # type: ignore[no-untyped-call]
        servicer.OptunaStorageProxyService(behind), server
    )
    service, method = LOCK.strip("/").split("/")
    handler = grpc.stream_stream_rpc_method_handler(Locks(url, runs).hold)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ValueError(
            f"the proxy needs a free address, but {host} port {port}: {error}; choose another one "
            f"with --port or --host"
        ) from None
    server.start()
    return server, bound


class Locks:
    """The locks that clients hold: the very ones of the storage, so that both ways agree."""

    def __init__(self, url: str, runs: Path) -> None:
        self._url, self._runs = url, runs
        # One client at a time asks the storage: the others wait here.
        self._here: defaultdict[bytes, threading.Lock] = defaultdict(threading.Lock)

    def hold(self, said: Iterator[bytes], context: "grpc.ServicerContext") -> Iterator[bytes]:
        """Wait for a lock, and hold it until the client is gone; every answer says so."""
        label = next(said)
        with self._here[label]:
            if not context.is_active():
                return
            with self._of_storage(label):
                yield b"held"
                for _ in said:
                    yield b"held"

    def _of_storage(self, label: bytes) -> AbstractContextManager[object]:
        study, _, what = label.decode().partition("\n")
        return study_lock(self._url, study, self._runs / study, what)


if __name__ == "__main__":
    raise SystemExit(run_app(app))
