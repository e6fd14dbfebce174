"""Optuna storages by URL, SQLite set up so that readers and writers do not block each other."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import sqlalchemy
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from optuna.study import Study
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from records.files import absolute, is_full_disk
from studies.connection.database import LastingStorage
from studies.connection.extra import proxy_client
from studies.connection.lock import mysql_lock, postgresql_lock, server_lock
from studies.connection.sqlite import BUSY_TIMEOUT, sqlite_options


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
    if backend(url) == "grpc":
        proxy_client(url)
        return
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


def at_absolute_path(url: str) -> str:
    """The same storage, whatever folder a command is run in."""
    path = sqlite_file(url)
    return url if path is None else str(make_url(url).set(database=absolute(str(path))))


def make_storage(url: str) -> BaseStorage:
    """Open a storage to begin or to go on with a study, making its tables if need be.

    A SQLite file is looked through as a whole, and set to write-ahead mode, which it remembers:
    writers then never wait for readers such as the dashboard.

    Raises:
        ValueError: In one sentence, if there can be no such storage. Passwords are not shown.
    """
    if backend(url) == "grpc":
        return _connected(url, {}, skip_table_creation=True)
    path = sqlite_file(url)
    try:
        if path is not None:
            _refuse_foreign(path)
            with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        return _connected(url, sqlite_options(path, to_write=True), skip_table_creation=False)
    except sqlite3.Error as error:
        if is_full_disk(error):
            raise
        raise ValueError(cannot_open(url, error)) from None


def open_storage(url: str, *, to_write: bool = True) -> BaseStorage:
    """Open a storage that exists.

    Args:
        url: Its URL.
        to_write: False also opens a SQLite file that may not be changed, and changes nothing.

    Raises:
        ValueError: In one sentence, if there is no such storage. Passwords are not shown.
    """
    if backend(url) == "grpc":
        return _connected(url, {}, skip_table_creation=True)
    path = sqlite_file(url)
    options = sqlite_options(path, to_write)
    if not _holds_study(url, path, options):
        raise ValueError(f"there is no study in '{shown(url)}' yet: a search makes one")
    return _connected(url, options, skip_table_creation=True)


def _holds_study(url: str, path: Path | None, options: dict[str, Any]) -> bool:
    """Whether there is a study; asked without making a file or a table."""
    if path is not None and not path.is_file():
        return False
    try:
        engine = sqlalchemy.create_engine(url, **{**options, "poolclass": NullPool})
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("studies"):
                return False
            return connection.execute(sqlalchemy.text("SELECT 1 FROM studies")).first() is not None
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise ValueError(cannot_open(url, error)) from None


def _connected(url: str, options: dict[str, Any], *, skip_table_creation: bool) -> BaseStorage:
    try:
        if backend(url) == "grpc":
            remote: BaseStorage = proxy_client(url).RemoteStorage(url)
            return remote
        made = RDBStorage if sqlite_file(url) is not None else LastingStorage
        return made(url, engine_kwargs=options, skip_table_creation=skip_table_creation)
    except (
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        ImportError,
        OSError,
        RuntimeError,
    ) as e:
        if is_full_disk(e):
            raise
        raise ValueError(cannot_open(url, e)) from None


def _refuse_foreign(path: Path) -> None:
    """Refuse a file that is something else or damaged, before anything in it is changed."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in found}
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        reason = str(error)
    else:
        if state == "ok" and (not tables or "studies" in tables):
            return
        others = f"it holds other tables ({', '.join(sorted(tables)[:3])})"
        reason = others if state == "ok" else f"it is damaged ({state.splitlines()[0]})"
    raise ValueError(
        f"storage must be a SQLite file of Optuna or a new one, but '{path}' is neither: "
        f"{reason}; it is left as it is: move it away, or give another --study or --storage"
    )


def study_lock(
    url: str, name: str, folder: Path, what: str = ""
) -> AbstractContextManager[object]:
    """A lock of one study across processes and, where the storage can hold it, across hosts.

    Args:
        url: The storage's URL.
        name: The study's name.
        folder: The study's folder, where the lock is when the storage cannot hold one; then it
            reaches as far as the folder does.
        what: Which one; "" = the one around all that counts or asks for trials.

    Raises:
        ValueError: In one sentence, now if no file can be made where the lock should be, on
            entering if the database cannot be reached.
    """
    kind = backend(url)
    if kind == "grpc":
        lock: AbstractContextManager[None] = proxy_client(url).remote_lock(url, name, what)
        return lock
    label = hashlib.sha256((f"{name}:{what}" if what else name).encode())
    if kind == "postgresql":
        key = int.from_bytes(label.digest()[:8], signed=True)
        return _server_lock(url, postgresql_lock(key), short=not what)
    if kind in ("mysql", "mariadb"):
        statements = mysql_lock(f"convsearch-{label.hexdigest()[:32]}")
        return _server_lock(url, *statements, short=not what)
    path = sqlite_file(url) or folder / "study"
    return _file_lock(path.with_name(f"{path.name}.{what}.lock" if what else f"{path.name}.lock"))


@cache
def _file_lock(path: Path) -> FileLock:
    # Where no lock file can be made, waiting for the lock would have no end.
    make_folder(path.parent)
    return FileLock(path)


@contextmanager
def _server_lock(url: str, *statements: str, short: bool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(server_lock(url, shown(url), *statements, short=short))
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise ValueError(cannot_open(url, error)) from None
        yield


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


def is_on_one_machine(study: Study) -> bool:
    """Whether all who use a study are on one machine: a write-ahead log works nowhere else."""
    storage = getattr(study._storage, "_backend", study._storage)  # Behind Optuna's cache.
    if not isinstance(storage, RDBStorage) or storage.engine.dialect.name != "sqlite":
        return False
    with storage.engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def close_storage(storage: BaseStorage) -> None:
    """Close the connections of a storage that is no longer used."""
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    elif isinstance(storage, GrpcStorageProxy):
        storage.close()


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
