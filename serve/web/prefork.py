"""Several processes that answer at one address, started and replaced by gunicorn.

One Python process computes on one core at a time. And the decoders of pictures are C code that
gets whatever people send: should a picture bring one down, only its process is gone, and another
takes its place.
"""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.workers.base import Worker
from waitress import wasyncore

from records.command_line import USER_MISTAKE, complain
from serve.web.shared import Shared

if TYPE_CHECKING:
    from flask import Flask

# Seconds until a process is killed that was told to end; containers are killed after ten.
_PATIENCE = 8


def _once() -> Callable[[], bool]:
    """What is true when it is called for the first time by any of the processes."""
    read, write = os.pipe()
    os.write(write, b"1")
    os.close(write)
    return lambda: os.read(read, 1) == b"1"


class _Worker(Worker):  # type: ignore[misc]
    """A process in which waitress answers."""

    server: Any = None
    row = 0  # Where this process counts what it shares with the others.

    def init_signals(self) -> None:
        super().init_signals()
        # A terminal sends these to every process; the first one decides what they mean.
        for sent in (signal.SIGINT, signal.SIGHUP):
            signal.signal(sent, signal.SIG_IGN)
        signal.signal(signal.SIGQUIT, self.handle_exit)

    def handle_exit(self, *_: object) -> None:
        self.alive = False
        if self.server is not None:
            self.server.pull_trigger()

    def run(self) -> None:
        """Answer until this process is told to end, or the first one is gone."""
        from serve.web.server import new_server

        channels: dict[int, Any] = {}
        self.server = new_server(self.wsgi, self.sockets[0], channels)
        while self.alive and os.getppid() == self.ppid:
            wasyncore.loop(timeout=1, map=channels, count=1)
        self.server.task_dispatcher.shutdown(timeout=_PATIENCE - 1)
        self.server.close()
        if os.getppid() != self.ppid:
            shutil.rmtree(self.cfg.worker_tmp_dir, ignore_errors=True)


class _Arbiter(Arbiter):  # type: ignore[misc]
    """The first process. A terminal that is closed ends the service, as most others."""

    handle_hup = Arbiter.handle_term

    def handle_ttin(self) -> None:
        """The number of processes stays as it is: memory that they share is laid out for it."""

    handle_ttou = handle_ttin


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(
        self, make_app: Callable[[Shared], "Flask"], processes: int, announce: Callable[[], None]
    ) -> None:
        self._make_app, self._processes, self._announce = make_app, processes, announce
        self._shared = Shared(processes)
        self.process, self.first_ready, self.first_mistake = os.getpid(), _once(), _once()
        # What the processes count lies in files there, and is gone at the end.
        self._scratch = tempfile.mkdtemp(prefix="convsearch-serve-")
        # prometheus_client looks for it when it is imported, which only the processes may do.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = self._scratch
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "workers": self._processes,
            "worker_class": _Worker,
            "worker_tmp_dir": self._scratch,
            "control_socket_disable": True,
            # Large models take long to load: a process that says nothing is none that hangs.
            "timeout": 0,
            "graceful_timeout": _PATIENCE,
            "loglevel": "warning",
            "pre_fork": self._begin,
            "post_worker_init": self._ready,
            "child_exit": self._ended,
            "on_exit": self._clean_up,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        """In each process."""
        try:
            return self._make_app(self._shared)
        except ValueError as error:
            # All processes find the same mistake: one of them tells it, and all end.
            if self.first_mistake():
                complain(str(error))
            os.kill(self.process, signal.SIGTERM)
            raise SystemExit(0) from None

    def _begin(self, arbiter: Arbiter, worker: Worker) -> None:
        taken = {other.row for other in arbiter.WORKERS.values()}
        worker.row = min(set(range(self._processes)) - taken)
        self._shared.enter(worker.row)

    def _ready(self, worker: Worker) -> None:
        if self.first_ready():
            self._announce()

    def _ended(self, arbiter: Arbiter, worker: Worker) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)
        # It has no sockets any more when it was told to end.
        if arbiter.LISTENERS and self.first_ready():
            raise HaltServer("a process died before any could answer")

    def _clean_up(self, arbiter: Arbiter) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def run_processes(
    make_app: Callable[[Shared], "Flask"],
    listening: socket.socket,
    processes: int,
    announce: Callable[[], None],
) -> int:
    """Answer until it is told to end. This process must not have threads, since it forks.

    `make_app` is called in each process, where a ValueError is a mistake of the user's, and
    `announce` in the first one that is ready. Returns the exit code.
    """
    application = _Application(make_app, processes, announce)
    arbiter = _Arbiter(application)
    arbiter.LISTENERS = [listening]
    try:
        arbiter.run()
    except SystemExit as ended:
        # The processes leave by it, too.
        if os.getpid() != application.process or ended.code:
            raise
    return 0 if application.first_mistake() else USER_MISTAKE
