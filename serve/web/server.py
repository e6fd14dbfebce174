"""The server in each process: waitress.

It reads a whole request before one of its threads takes it, so that slow clients hold up nobody.
Here it reads only what is worth it: by the head of a request, and within what all processes
together may hold.
"""

import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, ServiceUnavailable

from records.command_line import user_mistakes
from serve.web.access import REFUSAL, wants_body
from serve.web.openapi import ErrorReply
from serve.web.service import NAME, Service
from serve.web.shared import Shared

# Seconds for which a client may go on to send what is not read any more, before it hears of it,
_LINGER = 30
_LINGER_IDLE = 5  # and without sending anything.
_LONGEST_LINE = 4096  # Bytes of what a chunked body has beside its chunks.
# More than a head can say: it is `_Request` that keeps the limit, since it answers better.
_NEVER = 10**4300
_WORDS = {400: "bad_request", 500: "bug"}


class _Request(HTTPRequestParser):  # type: ignore[misc]
    """Reads one request.

    Attributes:
        refusal: Why reading was given up on the way; None if it was not.
    """

    refusal: HTTPException | None = None
    _held = 0

    def __init__(self, channel: "_Channel", adjustments: Any) -> None:
        super().__init__(adjustments)
        self._channel = channel
        self._service: Service = channel.server.service

    def received(self, data: bytes) -> int:
        """Take bytes of this request; returns how many were its own."""
        in_body = self.body_rcv is not None
        try:
            taken: int = super().received(data)
        except ValueError:
            self.error = BadRequest("a number or an address in the head cannot be read")
            self.completed, taken = True, len(data)
        if self.error is not None:
            self._channel.is_cut = True
        elif in_body:
            self._count(taken)
        elif self.body_rcv is not None:
            environ = WSGITask(self._channel, self).get_environment()
            if not wants_body(environ, self._service.config):
                self._cut()
        if self.completed:
            # Whoever waits with the body for a word of ours gets the answer instead.
            self.expect_continue = False
        # The rest of what is not read must not be taken for the next request.
        return len(data) if self._channel.is_cut else taken

    def close(self) -> None:
        """Its memory is free again."""
        self._service.shared.buffered.give_back(self._held)
        self._held = 0
        super().close()

    def _count(self, taken: int) -> None:
        config, body = self._service.config, cast(Any, self.body_rcv)
        beside = len(getattr(body, "control_line", b"")) + len(getattr(body, "trailer", b""))
        size = len(body) + getattr(body, "chunk_remainder", 0)
        if size > config.most_bytes:
            self._cut(RequestEntityTooLarge(f"a request may have {config.most_bytes:,} bytes"))
        elif beside > _LONGEST_LINE:
            self._cut(RequestEntityTooLarge(f"a chunk's line may have {_LONGEST_LINE:,} bytes"))
        elif self._service.shared.buffered.take(taken, config.most_buffered):
            self._held += taken
        else:
            self._cut(ServiceUnavailable("too many uploads at once: try again in a moment"))

    def _cut(self, refusal: HTTPException | None = None) -> None:
        """Go on as if the body were empty; the connection ends with the answer."""
        self.close()
        self.refusal, self.body_rcv, self.completed = refusal, None, True
        self.headers["CONNECTION"] = "close"
        self._channel.is_cut = True


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        if self.request.refusal is not None:
            environ[REFUSAL] = self.request.refusal
        return environ


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """What is not even HTTP is answered in the same form as everything else."""

    def execute(self) -> None:
        error = self.request.error
        reply = ErrorReply(error=_WORDS.get(error.code, "refused"), message=error.body)
        body = reply.model_dump_json().encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection."""

    task_class = _Task
    error_task_class = _ErrorTask
    request: _Request | None = None
    is_cut = False
    _lingers_until: float | None = None
    _active = _heard = 0.0  # When it was last; the latter while it lingers.

    def __init__(self, server: Any, *given: Any, **named: Any) -> None:
        super().__init__(server, *given, **named)
        self.parser_class = partial(_Request, self)

    @property
    def last_activity(self) -> float:
        """When it was last active, in seconds since 1970.

        Waitress closes what was not for `channel_timeout`; who lingers has `_LINGER_IDLE` only.
        """
        if self._lingers_until is None:
            return self._active
        return self._heard - float(self.adj.channel_timeout) + _LINGER_IDLE

    @last_activity.setter
    def last_activity(self, when: float) -> None:
        # A thread that has served a request sets it, perhaps when lingering has begun already.
        self._active = when

    def readable(self) -> bool:
        """Whether bytes of the client are waited for."""
        return self._lingers_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        """Take them."""
        if self._lingers_until is None:
            super().handle_read()
            return
        try:
            more = bool(self.recv(1 << 16))
        except OSError:
            more = False
        self._heard = time.time()
        over = not more or self._heard > self._lingers_until
        if over and self.connected:
            self.handle_close()

    def handle_close(self) -> None:
        """Close it; where a body was not read, let the client finish, who else sees no answer.

        A connection that is closed before all of it was received is reset, with what was sent.
        """
        if self.is_cut and self._lingers_until is None and self.connected and not self.requests:
            self._heard = time.time()
            self._lingers_until = self._heard + _LINGER
            self.will_close = self.close_when_flushed = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
                return
            except OSError:  # The client is gone.
                pass
        if self.request is not None:
            self.request.close()
            self.request = None
        super().handle_close()


def new_server(app: Flask, listening: socket.socket, channels: dict[int, Any]) -> Any:
    """A waitress server that answers at a socket with the limits of the app's service.

    `channels` gets the open connections, for a loop of one's own.
    """
    service: Service = app.extensions[NAME]
    # Waitress keeps bodies up to these sizes in memory; beyond, it would write files.
    room = service.config.most_bytes + (1 << 20)
    server = create_server(
        app, map=channels, sockets=[listening], threads=service.config.threads, ident=None,
        connection_limit=200, channel_timeout=30, cleanup_interval=_LINGER_IDLE,
        max_request_body_size=_NEVER, inbuf_overflow=room, outbuf_overflow=room,
    )  # fmt: skip
    server.channel_class, server.service = _Channel, service
    service.queue = server.task_dispatcher.queue
    return server


def run_alone(
    make_app: Callable[[Shared], Flask], listening: socket.socket, announce: Callable[[], None]
) -> int:
    """Answer in this process, where there is no fork, until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with user_mistakes():
        app = make_app(Shared())
    server = new_server(app, listening, {})
    announce()
    server.run()
    server.close()
    return 0
