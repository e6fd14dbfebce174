"""A database that stops answering for a while: it is waited for, and people are told of it."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError

from records.command_line import warn
from records.words import duration

LONGEST = 3600.0  # Seconds for which a database that has answered before is waited for.
_AGAIN = 1.0  # Seconds between two tries.
_KEPT = "nothing that ended is lost"

Result = TypeVar("Result")


class LockLost(Exception):
    """A lock went away with the server that gave it, while somebody held it."""


class _Manners:
    """How this process waits."""

    tell: Callable[[str], None] = staticmethod(warn)
    longest: float = LONGEST
    locked: int = 0  # Locks held that go with their server.


def wait_out(
    name: str,
    attempt: Callable[[], Result],
    is_outage: Callable[[BaseException], bool],
    again: Callable[[], Result] | None = None,
) -> Result:
    """Do what needs a database, as often as it takes until the database answers.

    Args:
        name: What people call the database.
        attempt: What to do; it may have been done although nobody was told so.
        is_outage: Whether an error says that the database is away; others are raised.
        again: What to do in the place of `attempt` after the first time.

    Raises:
        Exception: That of the last attempt, if the database stays away for too long, or at once
            under a lock that is gone with it: whoever holds that must begin anew.
    """
    began: float | None = None
    while True:
        try:
            result = attempt() if began is None or again is None else again()
        except Exception as error:
            if not is_outage(error) or _Manners.locked:
                raise
            now = time.monotonic()
            if began is None:
                began = now
                _tell(f"'{name}' does not answer ({_reason(error)}): waiting for it; {_KEPT}")
            if now - began >= _Manners.longest:
                raise
            time.sleep(_AGAIN)
        else:
            if began is not None:
                _tell(f"'{name}' answers again, after {duration(time.monotonic() - began)}")
            return result


def connection_broke(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a database is away."""
    while error is not None:
        if isinstance(error, LockLost):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        # Of gRPC, which not everybody has installed.
        code = getattr(error, "code", None)
        if callable(code) and getattr(code(), "name", "") == "UNAVAILABLE":
            return True
        error = error.__cause__ or error.__context__
    return False


def watch_connections(engine: Engine) -> None:
    """Let errors of making a connection count as those of a broken one."""

    @event.listens_for(engine, "handle_error")
    def _(context: ExceptionContext) -> None:
        if context.connection is None:
            context.is_disconnect = True


@contextmanager
def told(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell of outages this way and not by a warning."""
    before, _Manners.tell = _Manners.tell, staticmethod(tell)
    try:
        yield
    finally:
        _Manners.tell = staticmethod(before)


@contextmanager
def not_waiting() -> Iterator[None]:
    """Wait for no database, since nobody wants what it is needed for."""
    before, _Manners.longest = _Manners.longest, 0.0
    try:
        yield
    finally:
        _Manners.longest = before


@contextmanager
def under_lock() -> Iterator[None]:
    """Hold a lock that goes with its server, so that nobody may wait and then go on."""
    _Manners.locked += 1
    try:
        yield
    finally:
        _Manners.locked -= 1


def _tell(line: str) -> None:
    # Workers wait in silence: their parent looks at the same database, and tells.
    if multiprocessing.parent_process() is None:
        _Manners.tell(line)


def _reason(error: BaseException) -> str:
    known = error
    while not isinstance(known, DBAPIError) and (known.__cause__ or known.__context__) is not None:
        known = known.__cause__ or known.__context__ or known
    details = getattr(known, "details", None)
    reason = str(getattr(known, "orig", None) or (details and details()) or known).strip()
    return reason.splitlines()[0] if reason else type(error).__name__
