"""The server in each process: waitress.

It reads a whole request before one of its threads takes it, so that slow clients hold up nobody.
"""

import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress.server import create_server

from records.command_line import user_mistakes
from serve.web.service import NAME, Service


def new_server(app: Flask, listening: socket.socket, channels: dict[int, Any]) -> Any:
    """A waitress server that answers at a socket with the limits of the app's service.

    `channels` gets the open connections, for a loop of one's own.
    """
    service: Service = app.extensions[NAME]
    # Waitress keeps bodies up to these sizes in memory; beyond, it would write files.
    room = service.config.most_bytes + (1 << 20)
    server = create_server(
        app, map=channels, sockets=[listening], threads=service.config.threads, ident=None,
        connection_limit=200, channel_timeout=30,
        max_request_body_size=room, inbuf_overflow=room, outbuf_overflow=room,
    )  # fmt: skip
    service.queue = server.task_dispatcher.queue
    return server


def run_alone(
    make_app: Callable[[], Flask], listening: socket.socket, announce: Callable[[], None]
) -> int:
    """Answer in this process, where there is no fork, until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with user_mistakes():
        app = make_app()
    server = new_server(app, listening, {})
    announce()
    server.run()
    server.close()
    return 0
