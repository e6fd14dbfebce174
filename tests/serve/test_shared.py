"""Limits hold over all processes, and what a killed one held is given back."""

import os
import signal
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from select import select

import numpy as np
import psutil
import pytest

from serve.web.shared import Budget, Shared
from tests.serve.conftest import encoded, stripe, wait_until
from tests.serve.mutations import multipart

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

SMALL = """
import serve.web.config as c, serve.web.uploads as u, serve.decode as d, time
fields = c.ServiceConfig.model_fields
fields["most_buffered"].default = 1 << 20
fields["most_pixels_at_once"].default = 2000
fields["seconds"].default = 60.0
c.ServiceConfig.model_rebuild(force=True)
u._LARGE = 1500
was = d.square_pixels
def slow(image, *rest):
    if image.width == 40:
        time.sleep(3600)
    return was(image, *rest)
d.square_pixels = slow
"""
"""Small limits; a picture 40 pixels wide counts as large and is never decoded."""


def test_a_budget_is_kept() -> None:
    budget = Budget(3)
    assert budget.take(60, most=100)
    budget.row = 2
    assert budget.take(40, most=100)
    assert not budget.take(1, most=100)
    assert not budget.wait(1, most=100, seconds=0.05)
    budget.give_back(40)
    assert budget.held == 60
    budget.forget(0)
    assert budget.take(1000, most=100), "one alone may always"
    assert not budget.take(1, most=100)


def test_many_processes_never_hold_more_and_a_killed_one_holds_nothing() -> None:
    """Four processes hold one of three places at a time each, for a while; then one is killed."""
    shared, seen = Shared(5), Budget(5)
    children = []
    for row in range(1, 5):
        if child := os.fork():
            children.append(child)
            continue
        most = 0
        shared.enter(row)
        for _ in range(300):
            if shared.pixels.take(1, most=3):
                most = max(most, shared.pixels.held)
                shared.pixels.give_back(1)
        seen.row = row
        seen.take(1 if most <= 4 else 100, 1000)
        shared.pixels.take(row, most=1000)
        os.kill(os.getpid(), signal.SIGKILL)
    for child in children:
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert seen.held == 4
    assert shared.pixels.held == 1 + 2 + 3 + 4
    for row in range(1, 5):
        shared.enter(row)
    assert shared.pixels.held == 0


@pytest.fixture(scope="module")
def small(best):
    from tests.serve.conftest import Service

    service = Service("--model", best, "--processes", 2, code=SMALL)
    wait_until(lambda: len(service.children()) == 2)
    yield service
    service.kill()


def begun(service, content: bytes, less: int = 0, seconds: float = 60) -> HTTPConnection:
    """A connection that has sent an upload, or all but its last bytes."""
    body, kind = multipart(content)
    connection = HTTPConnection(*service.address, timeout=seconds)
    connection.putrequest("POST", "/api/predict")
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[: len(body) - less])
    return connection


def status(connection: HTTPConnection) -> int:
    """Of the answer; 0 if there is none in time."""
    try:
        with connection.getresponse() as response:
            response.read()
            return response.status
    except TimeoutError:
        return 0
    finally:
        connection.close()


def only(service, chosen: int) -> None:
    """Let one of the two processes run, and halt the other one."""
    for number, child in enumerate(service.children()):
        child.send_signal(signal.SIGCONT if number == chosen else signal.SIGSTOP)


def kill_halted(service) -> None:
    """Kill the process that is halted, and wait for another one."""
    before = {child.pid for child in service.children()}
    for child in service.children():
        if child.status() == psutil.STATUS_STOPPED:
            child.kill()
    wait_until(lambda: len({child.pid for child in service.children()} - before) == 1)


@pytest.mark.slow
def test_bytes_that_wait_are_limited_over_all_processes(small) -> None:
    """Uploads of 256 KiB whose last byte is missing, until memory for them is used up."""
    picture, waiting = encoded(stripe()) + bytes(1 << 18), []
    only(small, 0)
    with ExitStack() as stack:
        while not select(waiting, [], [], 0.2)[0]:
            waiting.append(begun(small, picture, less=1).sock)
            stack.callback(waiting[-1].close)
        assert len(waiting) >= 4
        only(small, 1)
        assert status(begun(small, picture)) == 503
        kill_halted(small)
        assert status(begun(small, picture)) == 200


@pytest.mark.slow
def test_large_pictures_are_limited_over_all_processes(small) -> None:
    """One is being decoded for ever; another one waits, in any process."""
    stuck, other = (encoded(np.zeros((40, n, 3), np.uint8)) for n in (40, 39))
    only(small, 0)
    with ExitStack() as stack:
        stack.callback(begun(small, stuck).close)
        wait_until(lambda: status(begun(small, other, seconds=1)) == 0)
        only(small, 1)
        assert status(begun(small, other, seconds=1)) == 0
        assert status(begun(small, encoded(stripe()))) == 200
        kill_halted(small)
        assert status(begun(small, other)) == 200


@pytest.mark.slow
def test_clients_that_vanish_leave_nothing_behind(small) -> None:
    picture = encoded(stripe()) + bytes(1 << 18)
    for less in (0, 1) * 20:
        connection = begun(small, picture, less)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    wait_until(lambda: status(begun(small, picture)) == 200)
    for _ in range(10):
        assert status(begun(small, picture)) == 200
