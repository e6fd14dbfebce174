"""One lock per study, across processes and, where the storage can, across hosts."""

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy
from filelock import FileLock
from sqlalchemy.pool import NullPool

from studies.storage import backend, cannot_open, make_folder, sqlite_file

_YEAR = 31_536_000
"""Seconds: the longest that MySQL waits; to MariaDB a negative time is an error, not for ever."""


def study_lock(
    url: str, name: str, folder: Path, what: str = ""
) -> AbstractContextManager[object]:
    """A lock of one study; without `what`, the one around all that counts or asks for trials.

    Counting and asking must be one step, or workers overshoot the total; and SQLite hands out an
    enqueued trial twice when two ask at once.

    Args:
        url: The storage's URL.
        name: The study's name.
        folder: The study's folder, where the lock is when the storage cannot hold one; then it
            reaches as far as the folder does.
        what: Which other lock of the study it is.

    Returns:
        A context manager that can be entered again and again.

    Raises:
        ValueError: In one sentence, now if no file can be made where the lock should be, on
            entering if the database cannot be reached.
    """
    kind, label = backend(url), f"{name}:{what}" if what else name
    if kind == "postgresql":
        key = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], signed=True)
        return _DatabaseLock(url, f"SELECT pg_advisory_lock({key})")
    if kind in ("mysql", "mariadb"):
        key_text = hashlib.sha256(label.encode()).hexdigest()[:32]
        return _DatabaseLock(
            url,
            f"SELECT GET_LOCK('convsearch-{key_text}', {_YEAR})",
            # A server that hangs up on the idle also lets go of their locks.
            f"SET SESSION wait_timeout = {_YEAR}",
        )
    database = sqlite_file(url)
    path = database or folder / "study"
    path = path.with_name(f"{path.name}.{what}.lock" if what else f"{path.name}.lock")
    # Where no lock file can be made, waiting for the lock would have no end.
    make_folder(path.parent)
    return _EnterAgain(FileLock(path))


class _EnterAgain(AbstractContextManager[object]):
    """A file lock as a plain context manager."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def __enter__(self) -> object:
        return self._lock.__enter__()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


class _DatabaseLock(AbstractContextManager[object]):
    """A lock that the database server holds for as long as a connection is open."""

    def __init__(self, url: str, statement: str, *before: str) -> None:
        # Without a pool, leaving closes the connection, and the server lets go even after a kill.
        # Without a transaction either: servers may end those that do nothing for long.
        self._url = url
        self._engine = sqlalchemy.create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        self._statements = (*before, statement)
        self._connection: sqlalchemy.Connection | None = None

    def __enter__(self) -> object:
        try:
            self._connection = self._engine.connect()
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise ValueError(cannot_open(self._url, error)) from None
        for statement in self._statements:
            answer = self._connection.execute(sqlalchemy.text(statement))
        # PostgreSQL's function returns nothing, MySQL's 1, or NULL for an error without a word.
        granted = answer.scalar()
        assert granted in ("", 1), f"the database did not give the lock but {granted!r}"
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
