"""`python -m studies.dashboard`: optuna-dashboard that can be looked at and not changed.

optuna-dashboard has no accounts and can delete studies. This one answers to the names of this
machine only, and only what reads. It may start before there is a study, or a database that
answers; it says so until there is. It makes nothing itself.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Annotated, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore
from typer import Option

from records.command_line import new_app, run_app, say, user_mistakes
from studies.storage import open_storage, refuse_unusable, shown

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FIRST_PORT, PORTS = 8080, 100
_AGAIN = "5"  # Seconds after which a browser asks again.
# Steps of priority below the search's: trainings should not wait for those who watch them.
_NICE = 10
_LOCAL = {"127.0.0.1", "localhost"}
_TEXT = ("Content-Type", "text/plain; charset=utf-8")

app = new_app()


@app.command()
def main(
    storage: Annotated[
        str,
        Option(
            help="URL of the storage; $PGPASSWORD keeps a password out; - = the first line of "
            "stdin, for as long as stdin is open"
        ),
    ],
    artifacts: Annotated[
        str, Option(help="folder of the artifacts, such as runs/STUDY/artifacts")
    ],
    host: Annotated[str, Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(help="0 = any that is free")] = FIRST_PORT,
) -> int:
    """Serve optuna-dashboard, read-only."""
    if storage == "-":
        _serve_beside_a_search(artifacts)
        return 0
    with user_mistakes():
        refuse_unusable(storage)
        try:
            server = _server(host, port, _dashboard(storage, artifacts))
        except OSError as error:
            raise ValueError(
                f"the dashboard needs a free address, but {host} port {port}: {error.strerror}; "
                f"choose another one with --port or --host"
            ) from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say(f"{shown(storage)} on http://{host}:{server.server_port}/ (Ctrl-C ends it)")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def read_only(app: "WSGIApplication") -> "WSGIApplication":
    """Let through only what reads, and only from pages of this very address.

    The check of the host stops pages elsewhere from reaching in through a name of their own.
    """

    def guarded(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        if host not in _LOCAL:
            return _refuse(start, "403 Forbidden", "this dashboard answers 127.0.0.1 only")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start, "405 Method Not Allowed", "this dashboard is read-only")
        # Without it, optuna-dashboard fails to serve its own static files.
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        return app(environ, start)

    return guarded


def bind(app: "WSGIApplication") -> WSGIServer:
    """A server on the first free port from 8080 on, for this machine only.

    Raises:
        OSError: None of the ports is free.
    """
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with suppress(OSError):
            return _server("127.0.0.1", port, app)
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free")


class _WhenReady:
    """An application that answers 503 until it can be made.

    Args:
        make: Makes it, or raises ValueError with the sentence to show.
    """

    def __init__(self, make: "Callable[[], WSGIApplication]") -> None:
        self._make, self._lock = make, threading.Lock()
        self._app: WSGIApplication | None = None

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        try:
            with self._lock:
                self._app = self._app or self._make()
        except ValueError as error:
            again = [("Refresh", _AGAIN), ("Retry-After", _AGAIN)]
            return _refuse(start, "503 Service Unavailable", f"{error}\n", again)
        return self._app(environ, start)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line in the middle of a search."""


def _dashboard(url: str, artifacts: str) -> "WSGIApplication":
    def make() -> "WSGIApplication":
        storage = open_storage(url, to_write=False)
        from optuna_dashboard import wsgi

        app: WSGIApplication = wsgi(storage, artifact_store=FileSystemArtifactStore(artifacts))
        return app

    return read_only(_WhenReady(make))


def _serve_beside_a_search(artifacts: str) -> None:
    """Serve what stdin names, print where, and end with the parent, which closes stdin."""
    # A terminal sends Ctrl-C to every process; the search decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):  # Not on Windows.
        os.nice(_NICE)
    # Whatever this process takes text for; a path can hold any bytes.
    url = sys.stdin.buffer.readline().decode(errors="surrogateescape").strip()
    server = bind(_dashboard(url, artifacts))

    def stop_with_stdin() -> None:
        sys.stdin.read()
        server.shutdown()

    threading.Thread(target=stop_with_stdin, daemon=True).start()
    say(f"http://127.0.0.1:{server.server_port}/")
    sys.stdout.flush()
    server.serve_forever()


def _server(host: str, port: int, app: "WSGIApplication") -> WSGIServer:
    """A server with a thread per request."""
    return make_server(host, port, app, server_class=_Server, handler_class=_QuietHandler)


def _refuse(
    start: "StartResponse", status: str, reason: str, more: Iterable[tuple[str, str]] = ()
) -> list[bytes]:
    start(status, [_TEXT, *more])
    return [reason.encode()]


if __name__ == "__main__":
    raise SystemExit(run_app(app))
