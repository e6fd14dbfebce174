"""A client that keeps N connections busy, each with one request at a time, from one thread."""

import math
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """What was seen.

    Attributes:
        seconds: How long it took.
        latencies: Seconds of every answered request.
        errors: Answers other than 200 and connections that broke, by what they were.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in seconds that this share of the requests stayed within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered), math.ceil(share * len(ordered))) - 1]

    def count(self, error: str) -> None:
        """One more of this kind."""
        self.errors[error] = self.errors.get(error, 0) + 1


class _Connection:
    """Sends a request, reads its answer, and so on; opens again when the server closes."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], first: int) -> None:
        self._address, self._requests, self._next = address, requests, first
        self.socket = socket.create_connection(address)
        self._read, self._sent = b"", 0.0

    def send(self) -> None:
        """The next request."""
        self._read, self._sent = b"", time.perf_counter()
        self.socket.sendall(self._requests[self._next % len(self._requests)])
        self._next += 1

    def receive(self, load: Load) -> bool:
        """Read what is there; whether the answer is complete."""
        data = self.socket.recv(1 << 16)
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = _length(head) if end else None
        if not data or (length is not None and len(body) >= length):
            self._note(load, head, complete=length is not None and len(body) >= length)
            return True
        return False

    def renew(self) -> None:
        """Open a connection again where the server has closed it."""
        if b"connection: close" in self._read.lower() or not self._read.startswith(b"HTTP/1.1"):
            self.socket.close()
            self.socket = socket.create_connection(self._address)

    def _note(self, load: Load, head: bytes, complete: bool) -> None:
        status = head.split(b" ", 2)[1:2]
        if complete and status == [b"200"]:
            load.latencies.append(time.perf_counter() - self._sent)
        else:
            load.count(status[0].decode() if status else "broken connection")


def press(
    address: tuple[str, int], requests: Sequence[bytes], clients: int, seconds: float
) -> Load:
    """Keep a server busy.

    Args:
        address: Of the server.
        requests: Whole HTTP requests, sent in turn.
        clients: Connections, each with one request at a time.
        seconds: How long; every request that was sent is waited for.
    """
    load, waits = Load(), selectors.DefaultSelector()
    began = time.perf_counter()
    for number in range(clients):
        connection = _Connection(address, requests, number * 7)
        connection.send()
        waits.register(connection.socket, selectors.EVENT_READ, connection)
    busy = clients
    while busy:
        for key, _ in waits.select():
            connection = key.data
            try:
                done = connection.receive(load)
            except OSError as error:
                load.count(type(error).__name__)
                done = True
            if done:
                waits.unregister(connection.socket)
                busy -= not _again(connection, waits, time.perf_counter() - began < seconds)
    load.seconds = time.perf_counter() - began
    return load


def _again(connection: _Connection, waits: selectors.BaseSelector, go_on: bool) -> bool:
    if not go_on:
        connection.socket.close()
        return False
    connection.renew()
    connection.send()
    waits.register(connection.socket, selectors.EVENT_READ, connection)
    return True


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


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
