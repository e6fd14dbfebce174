"""A client that keeps N connections busy, each with one request at a time, from one thread."""

import math
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """What a client met with.

    Attributes:
        seconds: How long it took.
        latencies: Seconds of every request that was answered with 200.
        errors: Other answers and connections that broke, by what they were.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    def describe(self) -> str:
        """Latencies and errors in one line."""
        ordered, shares = (
            sorted(self.latencies),
            {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1},
        )
        places = {name: math.ceil(share * len(ordered)) - 1 for name, share in shares.items()}
        latencies = "  ".join(f"{name} {1000 * ordered[n]:.1f}" for name, n in places.items())
        return (
            f"{latencies} ms   {len(ordered):6} answers, errors {dict(self.errors) or 0}, "
            f"{self.seconds:.0f} s"
        )


class _Connection:
    """Sends a request, reads its answer, and so on; opens again when the server closes."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], first: int) -> None:
        self._address, self._requests, self._next = address, requests, first
        self.socket = socket.create_connection(address)
        self.send()

    def send(self) -> None:
        """The next request."""
        self._read, self._sent = b"", time.perf_counter()
        self.socket.sendall(self._requests[self._next % len(self._requests)])
        self._next += 1

    def receive(self, load: Load) -> bool:
        """Read what is there; whether the answer is over."""
        data = self.socket.recv(1 << 16)
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        complete = bool(end) and len(body) >= int(length[1] if length else 0)
        if data and not complete:
            return False
        status = head[len("HTTP/1.1 ") :][:3].decode() if complete else "broken connection"
        if status == "200":
            load.latencies.append(time.perf_counter() - self._sent)
        else:
            load.errors[status] += 1
        return True

    def renew(self) -> None:
        """Open a connection again where the server has closed it."""
        if b"connection: close" in self._read.lower() or not self._read.startswith(b"HTTP/1.1"):
            self.socket.close()
            self.socket = socket.create_connection(self._address)


def press(
    address: tuple[str, int],
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    load: Load | None = None,
) -> Load:
    """Keep a server busy.

    Args:
        address: Of the server.
        requests: Whole HTTP requests, sent in turn.
        clients: Connections, each with one request at a time.
        seconds: How long; every request that was sent is waited for.
        load: What to add to; None = something new.
    """
    load, waits = load or Load(), selectors.DefaultSelector()
    began = time.perf_counter()
    for number in range(clients):
        connection = _Connection(address, requests, number * 7)
        waits.register(connection.socket, selectors.EVENT_READ, connection)
    while waits.get_map():
        for key, _ in waits.select():
            connection = key.data
            try:
                done = connection.receive(load)
            except OSError as error:
                load.errors[type(error).__name__] += 1
                done = True
            if done:
                waits.unregister(connection.socket)
                _go_on(connection, waits, time.perf_counter() - began < seconds)
    load.seconds += time.perf_counter() - began
    return load


def _go_on(connection: _Connection, waits: selectors.BaseSelector, again: bool) -> None:
    if not again:
        connection.socket.close()
        return
    connection.renew()
    connection.send()
    waits.register(connection.socket, selectors.EVENT_READ, connection)


def upload(picture: bytes, path: str) -> bytes:
    """A whole HTTP request that sends a picture."""
    boundary = b"----part"
    body = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="image"; filename="x.jpg"'
        b"\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--" + boundary + b"--\r\n"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary.decode()}\r\n\r\n"
    )
    return head.encode() + body
