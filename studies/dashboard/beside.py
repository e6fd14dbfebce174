"""`python -m studies.dashboard`: optuna-dashboard that can be looked at and not changed.

optuna-dashboard has no accounts and can delete studies. This one answers only this machine, only
to its own address, and only what reads.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore

from studies.storage import open_storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FIRST_PORT, PORTS = 8080, 100
_NICE = 10
"""Steps of priority below the search's: trainings should not wait for those who watch them."""

_LOCAL = {"127.0.0.1", "localhost"}


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
        try:
            return server_at("127.0.0.1", port, app)
        except OSError:
            continue
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free")


def server_at(host: str, port: int, app: "WSGIApplication") -> WSGIServer:
    """A server at an address, with a thread per request.

    Raises:
        OSError: The address cannot be had.
    """
    return make_server(host, port, app, server_class=_Server, handler_class=_QuietHandler)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line in the middle of a search."""


def main() -> None:
    """Serve the storage whose URL is the first line of stdin, and print where.

    The first argument is the folder with the study's artifacts. It ends when stdin closes, which
    it does when the parent is gone.
    """
    # A terminal sends Ctrl-C to every process; the search decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):  # Not on Windows.
        os.nice(_NICE)
    from optuna_dashboard import wsgi

    storage = open_storage(sys.stdin.readline().strip())
    app: Callable[..., Any] = wsgi(storage, artifact_store=FileSystemArtifactStore(sys.argv[1]))
    server = bind(read_only(app))
    threading.Thread(target=_stop_with_stdin, args=(server,), daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}/\n")
    sys.stdout.flush()
    server.serve_forever()


def _stop_with_stdin(server: WSGIServer) -> None:
    sys.stdin.read()
    server.shutdown()


def _refuse(start: "StartResponse", status: str, reason: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [reason.encode()]


if __name__ == "__main__":
    main()
