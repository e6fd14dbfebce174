"""The embedding index of a picture collection: one SQLite file, whole after every kill."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_APPLICATION = 0x636F6E76
"""Marks the file as one of ours."""

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = 1;
CREATE TABLE facts (model TEXT NOT NULL, root TEXT NOT NULL, features INTEGER NOT NULL);
CREATE TABLE pictures (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    class TEXT NOT NULL, embedding BLOB NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class IndexFacts:
    """What an index is about.

    Attributes:
        model: SHA-256 of the `model.onnx` that made it.
        root: Absolute path of the picture folder.
        features: Length of an embedding.
    """

    model: str
    root: str
    features: int


@dataclass(frozen=True)
class Entry:
    """One picture.

    Attributes:
        path: Relative to the folder.
        size: In bytes.
        changed: Time of the last change, in nanoseconds.
        name: The class that the model sees in it.
        embedding: `(features,)` float32.
    """

    path: str
    size: int
    changed: int
    name: str
    embedding: np.ndarray


class IndexFile:
    """An index on disk; a change is there as a whole or not at all."""

    def __init__(self, path: Path, facts: IndexFacts) -> None:
        """Use `open_index` or `new_index`."""
        self.path, self.facts = path, facts

    def states(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of every picture."""
        with _connected(self.path) as database:
            rows = database.execute("SELECT path, size, changed FROM pictures").fetchall()
        return {_text(path): (size, changed) for path, size, changed in rows}

    def put(self, entries: Iterable[Entry]) -> None:
        """Add pictures, or replace them."""
        rows = [
            (_bytes(e.path), e.size, e.changed, e.name, e.embedding.astype("<f4").tobytes())
            for e in entries
        ]
        with _connected(self.path) as database:
            database.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", rows)

    def drop(self, paths: Iterable[str]) -> None:
        """Take pictures out."""
        with _connected(self.path) as database:
            rows = [(_bytes(path),) for path in paths]
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)

    def load(self) -> tuple[list[str], list[str], np.ndarray]:
        """Paths, classes and embeddings `(N, features)` float32, by path."""
        with _connected(self.path) as database:
            found = database.execute("SELECT path, class, embedding FROM pictures ORDER BY path")
            rows = found.fetchall()
        embeddings = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f4")
        return (
            [_text(row[0]) for row in rows],
            [row[1] for row in rows],
            embeddings.reshape(len(rows), self.facts.features).astype(np.float32),
        )


def open_index(path: Path) -> IndexFile:
    """Open an index that exists.

    Raises:
        ValueError: In one sentence, if it is not there or no index.
    """
    try:
        with _connected(path) as database:
            if database.execute("PRAGMA application_id").fetchone() != (_APPLICATION,):
                raise sqlite3.DatabaseError("not an index")
            facts = database.execute("SELECT model, root, features FROM facts").fetchone()
    except sqlite3.Error as error:
        raise ValueError(
            f"an index must be a file that `python -m serve.index` made, but '{path}': {error}"
        ) from None
    return IndexFile(path, IndexFacts(*facts))


def new_index(path: Path, facts: IndexFacts) -> IndexFile:
    """Make an empty index where no file is."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.unlink(missing_ok=True)
    with closing(sqlite3.connect(scratch)) as database, database:
        database.executescript(_SCHEMA)
        values: Mapping[str, object] = vars(facts)
        database.execute("INSERT INTO facts VALUES (:model, :root, :features)", values)
    scratch.replace(path)
    return IndexFile(path, facts)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on a file that exists; read-only files can be read."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=60)) as database, database:
        yield database


def _bytes(path: str) -> bytes:
    """File names are bytes and need not be text."""
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
