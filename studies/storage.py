"""Optuna storages by URL, SQLite set up so that readers and writers do not block each other."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import sqlalchemy.exc
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url

from records.files import is_full_disk

BUSY_TIMEOUT = 60.0
"""Seconds that a SQLite connection waits for another one's write."""


class WalConnection(sqlite3.Connection):
    """A SQLite connection in write-ahead mode.

    Writers then never wait for readers such as the dashboard, and a commit costs no full sync; a
    power cut may take back the last commits, but cannot damage the file.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Connect and set the mode; the file remembers it, `synchronous` is per connection."""
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def sqlite_url(folder: Path) -> str:
    """The URL of the study file in a study's folder."""
    return f"sqlite:///{folder / 'study.db'}"


def backend(url: str) -> str:
    """The kind of database that a URL names, for instance "sqlite" or "postgresql".

    Raises:
        ValueError: In one sentence, if it is not the URL of a database.
    """
    try:
        return make_url(url).get_backend_name()
    except sqlalchemy.exc.ArgumentError as error:
        raise ValueError(cannot_open(url, error)) from None


def refuse_unusable(url: str) -> None:
    """Refuse what is no database that several processes can open, without connecting to it.

    Raises:
        ValueError: In one sentence.
    """
    try:
        make_url(url).get_dialect().import_dbapi()
    except (sqlalchemy.exc.ArgumentError, ImportError) as error:
        raise ValueError(cannot_open(url, error)) from None
    if backend(url) == "sqlite" and sqlite_file(url) is None:
        raise ValueError(
            f"storage must be a database that several processes can open, but got '{url}', which "
            f"is in memory: leave it out for SQLite in the study's folder"
        )


def sqlite_file(url: str) -> Path | None:
    """The file behind a SQLite URL; None for other databases and for memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def open_storage(url: str) -> RDBStorage:
    """Open a storage, making its tables if need be.

    Raises:
        ValueError: In one sentence, if there is no such storage. Passwords are not shown.
    """
    options = {}
    if backend(url) == "sqlite":
        _refuse_foreign(url)
        options = {"connect_args": {"timeout": BUSY_TIMEOUT, "factory": WalConnection}}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError) as error:
        if is_full_disk(error):
            raise
        raise ValueError(cannot_open(url, error)) from None


def _refuse_foreign(url: str) -> None:
    """Refuse a file that is something else, before anything in it is changed."""
    path = sqlite_file(url)
    if path is None or not path.is_file() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in found}
            broken = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise ValueError(_foreign(path, str(error))) from None
    if broken != "ok":
        raise ValueError(_foreign(path, f"it is damaged ({broken.splitlines()[0]})"))
    if tables and "studies" not in tables:
        raise ValueError(
            _foreign(path, f"it holds other tables ({', '.join(sorted(tables)[:3])})")
        )


def _foreign(path: Path, reason: str) -> str:
    return (
        f"storage must be a SQLite file of Optuna or a new one, but '{path}' is neither: "
        f"{reason}; it is left as it is: move it away, or give another --study or --storage"
    )


def make_folder(folder: Path) -> None:
    """Make a folder if need be, and make sure that files can be made in it.

    Raises:
        ValueError: In one sentence, if they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_full_disk(error):
            raise
        raise ValueError(
            f"a study needs a folder in which files can be made, but '{folder}': "
            f"{error.strerror}; give another --runs or --storage"
        ) from None


def close_storage(storage: RDBStorage) -> None:
    """Close the connections of a storage that is no longer used."""
    storage.remove_session()
    storage.engine.dispose()


def shown(url: str) -> str:
    """A storage URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def cannot_open(url: str, error: Exception) -> str:
    """The sentence about a database that does not answer; passwords are not shown."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return (
        f"storage must be the URL of a database that can be opened, such as sqlite:///study.db or "
        f"postgresql+psycopg://user@host/name, but '{shown(url)}': {reason}"
    )
