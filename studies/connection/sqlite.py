"""How a SQLite file is opened: patiently, and without changing one that may not be changed."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy.pool import NullPool

BUSY_TIMEOUT = 60.0  # Seconds that a SQLite connection waits for another one's write.


def sqlite_options(path: Path | None, to_write: bool) -> dict[str, Any]:
    """Options of the engine of a file; None = of a server."""
    if path is None:
        # A server may have been started anew since the last call.
        return {"pool_pre_ping": True}
    # SQLite makes other files beside it.
    if to_write or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return {"connect_args": {"timeout": BUSY_TIMEOUT, "factory": _Connection}}
    # A new connection every time, since a writer elsewhere may come and go.
    return {"creator": lambda: _connect_read_only(path), "poolclass": NullPool}


class _Connection(sqlite3.Connection):
    """One whose commits cost no full sync.

    In write-ahead mode a power cut may then take back the last ones, but cannot damage the file.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA synchronous=NORMAL")


def _connect_read_only(path: Path) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    # Without a write-ahead log nobody is writing, and SQLite need not make one to read.
    how = "mode=ro" if log.is_file() and log.stat().st_size else "immutable=1"
    uri = f"{path.absolute().as_uri()}?{how}"
    # SQLAlchemy gives a connection back to another thread than the one that asked for it.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
