"""`python -m studies.dashboard_service`: the read-only dashboard on its own, for a container.

It may start before there is a study, or a database that answers; it says so until there is. It
makes nothing itself: two processes that make the same tables at once break each other.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy
from optuna.artifacts import FileSystemArtifactStore
from sqlalchemy.pool import NullPool

from studies.dashboard.beside import FIRST_PORT, read_only, server_at
from studies.storage import cannot_open, open_storage, refuse_unusable, shown, sqlite_file

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_AGAIN = "5"
"""Seconds after which a browser asks again."""


class Patient:
    """An application that answers 503 until it can be made.

    Args:
        make: Makes it, or raises ValueError with the sentence to show.
    """

    def __init__(self, make: "Callable[[], WSGIApplication]") -> None:
        """Make nothing yet."""
        self._make, self._lock = make, threading.Lock()
        self._app: WSGIApplication | None = None

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        try:
            app = self._made()
        except ValueError as error:
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Refresh", _AGAIN)]
            start("503 Service Unavailable", [*headers, ("Retry-After", _AGAIN)])
            return [f"{error}\n".encode()]
        return app(environ, start)

    def _made(self) -> "WSGIApplication":
        with self._lock:
            if self._app is None:
                self._app = self._make()
            return self._app


def main() -> int:
    """Serve a storage until SIGTERM or Ctrl-C."""
    options = _options()
    try:
        refuse_unusable(options.storage)
        app = read_only(Patient(lambda: _open(options.storage, options.artifacts)))
        server = _server(options.host, options.port, app)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address = f"http://{options.host}:{server.server_port}/"
    sys.stdout.write(f"{shown(options.storage)} on {address} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="optuna-dashboard, read-only")
    add = parser.add_argument
    add("--storage", required=True, help="URL of the storage; $PGPASSWORD keeps a password out")
    add("--artifacts", required=True, help="folder of the artifacts: runs/<study>/artifacts")
    add("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    add("--port", type=int, default=FIRST_PORT, help="0 = any that is free [%(default)s]")
    return parser.parse_args()


def _server(host: str, port: int, app: "WSGIApplication") -> "WSGIServer":
    try:
        return server_at(host, port, app)
    except OSError as error:
        raise ValueError(
            f"the dashboard needs a free address, but {host} port {port}: {error.strerror}; "
            f"choose another one with --port or --host"
        ) from None


def _open(url: str, artifacts: str) -> "WSGIApplication":
    if not _holds_study(url):
        raise ValueError(f"there is no study in '{shown(url)}' yet: a search makes one")
    from optuna_dashboard import wsgi

    app: WSGIApplication = wsgi(
        open_storage(url), artifact_store=FileSystemArtifactStore(artifacts)
    )
    return app


def _holds_study(url: str) -> bool:
    """Whether there is a study; asked without making a file or a table."""
    path = sqlite_file(url)
    if path is not None and not path.is_file():
        return False
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("studies"):
                return False
            return connection.execute(sqlalchemy.text("SELECT 1 FROM studies")).first() is not None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise ValueError(cannot_open(url, error)) from None


if __name__ == "__main__":
    raise SystemExit(main())
