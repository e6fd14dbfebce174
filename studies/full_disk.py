"""Telling a full disk from all other faults, however deep it is wrapped."""

import errno
import sqlite3
from collections.abc import Iterator

_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_IO_ERROR = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}
"""What SQLite says when a limit stands in its way; a disk without room is `SQLITE_FULL`."""


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception, or one that it came from, says that nothing more can be written."""
    return any(map(_says_so, _chain(error)))


def full_disk_in_words(error: BaseException) -> str:
    """One line for people, about an exception that `is_full_disk`."""
    reason = str(next(filter(_says_so, _chain(error))))
    return (
        f"the disk must have room for what a search writes, but got: {reason}; make room and run "
        f"the same command again: nothing that was finished is lost"
    )


def _says_so(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        return code == sqlite3.SQLITE_FULL or code in _IO_ERROR
    return isinstance(error, OSError) and error.errno in _ERRNOS


def _chain(error: BaseException) -> Iterator[BaseException]:
    origin: BaseException | None = error
    while origin is not None:
        yield origin
        origin = origin.__cause__ or origin.__context__
