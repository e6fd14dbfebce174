"""Locks that a database holds for as long as a connection to it is open."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from studies.connection.outage import (
    LockLost,
    connection_broke,
    under_lock,
    wait_out,
    watch_connections,
)

# Seconds: the longest that MySQL waits; to MariaDB a negative time is an error, not for ever.
_YEAR = 31_536_000
# Of a host that vanished, the server hears nothing: it asks after 30 seconds, three times.
_ASKING = {"idle": 30, "interval": 10, "count": 3}


def postgresql_lock(key: int) -> str:
    """The statement that waits for an advisory lock, which the server gives back at the end."""
    ask = [f"set_config('tcp_keepalives_{k}', '{v}', false)" for k, v in _ASKING.items()]
    return f"SELECT {', '.join(ask)}, pg_advisory_lock({key})"


def mysql_lock(label: str) -> tuple[str, str]:
    """The same for MySQL and MariaDB."""
    # A server that hangs up on the idle also lets go of their locks.
    return f"SET SESSION wait_timeout = {_YEAR}", f"SELECT GET_LOCK('{label}', {_YEAR})"


@contextmanager
def server_lock(url: str, name: str, *statements: str, short: bool) -> Iterator[None]:
    """Hold what the last statement gives, and wait for a server that is away meanwhile.

    Args:
        url: The database's URL.
        name: The same for people.
        statements: SQL; the last one returns nothing (PostgreSQL) or 1 (MySQL).
        short: Whether nothing is done under it that goes on when the server was away meanwhile.

    Raises:
        SQLAlchemyError: The database cannot be reached, and never could be from this process.
        LockLost: The server was away while a short lock was held: others may have held it too.
    """
    engine = _engine(url)
    if url not in _REACHED:
        engine.connect().close()
        _REACHED.add(url)
    connection = wait_out(name, lambda: _taken(engine, statements), connection_broke)
    try:
        with under_lock() if short else nullcontext():
            yield
        if short and _is_broken(connection):
            raise LockLost(f"the lock is gone with its server '{name}'")
    finally:
        connection.close()


_REACHED: set[str] = set()


def _taken(engine: sqlalchemy.Engine, statements: tuple[str, ...]) -> sqlalchemy.Connection:
    connection = engine.connect()
    try:
        for statement in statements:
            result = connection.execute(sqlalchemy.text(statement))
        # PostgreSQL's function returns nothing, MySQL's 1, or NULL for an error without a word.
        granted = result.one()[-1]
        assert granted in ("", 1), f"the database did not give the lock but {granted!r}"
    except BaseException:
        connection.close()
        raise
    return connection


def _is_broken(connection: sqlalchemy.Connection) -> bool:
    try:
        connection.execute(sqlalchemy.text("SELECT 1"))
    except SQLAlchemyError:
        return True
    return False


@cache
def _engine(url: str) -> sqlalchemy.Engine:
    # Without a pool, leaving closes the connection, and the server lets go even after a kill.
    # Without a transaction either: servers may end those that do nothing for long.
    engine = sqlalchemy.create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
    )
    watch_connections(engine)
    return engine
