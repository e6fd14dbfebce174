"""`python -m serve.index FOLDER`: make a picture collection searchable, or bring it up to date.

The index holds an embedding per picture in one SQLite file, which is whole after every kill.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from records.command_line import SOME_FAILED, complain, new_app, run_app, say, user_mistakes
from serve.model import Model, find_model
from serve.predict import ModelOption, below, predictions

app = new_app()

_KEPT_TOGETHER = 256  # Pictures per transaction: what a kill can cost.
_APPLICATION = 0x636F6E76  # Marks the file as one of ours.

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = 1;
CREATE TABLE facts (model TEXT NOT NULL, root TEXT NOT NULL, features INTEGER NOT NULL);
CREATE TABLE pictures (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    class TEXT NOT NULL, embedding BLOB NOT NULL
) WITHOUT ROWID;
"""


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="pictures, in any sub-folders")],
    model: ModelOption = None,
    index: Annotated[
        Path | None, typer.Option(help="file to keep the index in [FOLDER.index, right here]")
    ] = None,
) -> int:
    """Look at all pictures that are new or changed; what was done before is kept."""
    with user_mistakes():
        if not folder.is_dir():
            raise ValueError(f"pictures must be in a folder that exists, but got '{folder}'")
        loaded = Model(find_model(model))
        path = index or Path(f"{folder.resolve().name}.index")
        opened = index_for(path, loaded, folder)
    added, kept, dropped, unreadable = update(opened, loaded, folder)
    say(
        f"{path}: {kept + added} pictures ({added} new or changed, {kept} as before, "
        f"{dropped} gone, {unreadable} not readable)"
    )
    return SOME_FAILED if unreadable else 0


class Entry(NamedTuple):
    """One picture: its path in the folder, size in bytes, a number that changes with the file, the
    class that the model sees in it, and its embedding, `(features,)` float32.
    """

    path: str
    size: int
    changed: int
    name: str
    embedding: np.ndarray


class Index:
    """An index on disk; a change is there as a whole or not at all.

    Attributes:
        path: Its file.
        model: SHA-256 of the `model.onnx` that made it.
        root: Absolute path of the picture folder.
        features: Length of an embedding.

    Raises:
        ValueError: In one sentence, if it is not there or no index.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with self._connected() as database:
                if database.execute("PRAGMA application_id").fetchone() != (_APPLICATION,):
                    raise sqlite3.DatabaseError("not an index")
                facts = database.execute("SELECT model, root, features FROM facts").fetchone()
        except sqlite3.Error as error:
            raise ValueError(
                f"an index must be a file that `python -m serve.index` made, but '{path}': {error}"
            ) from None
        self.model, self.root, self.features = facts

    @classmethod
    def new(cls, path: Path, model: str, root: str, features: int) -> "Index":
        """Make an empty index where no file is; the arguments are its attributes."""
        scratch = path.with_name(f".{path.name}.part")
        scratch.unlink(missing_ok=True)
        with closing(sqlite3.connect(scratch)) as database, database:
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO facts VALUES (?, ?, ?)", (model, root, features))
        scratch.replace(path)
        return cls(path)

    def check_model(self, model: Model) -> None:
        """Whether this model made it; the embeddings of two cannot be compared.

        Raises:
            ValueError: In one sentence, if not.
        """
        if self.model != model.digest:
            raise ValueError(
                f"an index and the model must belong together, but '{self.path}' was made by "
                f"model {self.model[:8]} and '{model.folder}' is {model.digest[:8]}: make a new "
                f"index"
            )

    def states(self) -> dict[str, tuple[int, int]]:
        """Size and number of the change of every picture, by its path."""
        with self._connected() as database:
            rows = database.execute("SELECT path, size, changed FROM pictures").fetchall()
        return {os.fsdecode(path): (size, changed) for path, size, changed in rows}

    def put(self, entries: Iterable[Entry]) -> None:
        """Add pictures, or replace them."""
        rows = [
            (os.fsencode(e.path), e.size, e.changed, e.name, e.embedding.astype("<f4").tobytes())
            for e in entries
        ]
        with self._connected() as database:
            database.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", rows)

    def drop(self, paths: Iterable[str]) -> None:
        """Take pictures out."""
        with self._connected() as database:
            rows = [(os.fsencode(path),) for path in paths]
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)

    def load(self) -> tuple[list[str], list[str], np.ndarray]:
        """Paths, classes and embeddings `(N, features)` float32, by path."""
        with self._connected() as database:
            found = database.execute("SELECT path, class, embedding FROM pictures ORDER BY path")
            rows = found.fetchall()
        embeddings = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f4")
        return (
            [os.fsdecode(row[0]) for row in rows],
            [row[1] for row in rows],
            embeddings.reshape(len(rows), self.features).astype(np.float32),
        )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """One transaction on a file that exists; read-only files can be read."""
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=60)) as database, database:
            yield database


def index_for(path: Path, model: Model, folder: Path) -> Index:
    """The index of a folder by a model, made if it is not there.

    Raises:
        ValueError: In one sentence, if the file is something else, or of another model or folder.
    """
    root = str(folder.resolve())
    if not path.exists():
        return Index.new(path, model.digest, root, model.features)
    index = Index(path)
    index.check_model(model)
    if index.root != root:
        raise ValueError(
            f"an index is of one folder, but '{path}' is of '{index.root}' and not of '{root}': "
            f"name another one with --index"
        )
    return index


def update(index: Index, model: Model, folder: Path) -> tuple[int, int, int, int]:
    """Look at what is new or changed, forget what is gone, complain of what cannot be read.

    Returns how many pictures were new or changed, as before, gone, and not readable.
    """
    known, there = index.states(), _states(folder)
    todo = [path for path, state in there.items() if known.get(path) != state]
    unreadable: set[str] = set()
    entries: list[Entry] = []
    for file, found in predictions(model, [folder / path for path in todo]):
        path = str(file.relative_to(folder))
        if isinstance(found, str):
            unreadable.add(path)
            complain(f"{file}: {found}")
            continue
        name = model.classes[found.probabilities.argmax()]
        entries.append(Entry(path, *there[path], name, found.embedding))
        if len(entries) >= _KEPT_TOGETHER:
            index.put(entries)
            entries = []
    index.put(entries)
    gone = {path for path in known if path not in there or path in unreadable}
    index.drop(gone)
    added = len(todo) - len(unreadable)
    return added, len(there) - len(todo), len(gone), len(unreadable)


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in below(folder):
        try:
            stat = path.stat()
            state = (stat.st_size, _change(stat))
        except OSError:  # A link to nowhere: it will be named when it cannot be read.
            state = (0, 0)
        found[str(path.relative_to(folder))] = state
    return found


def _change(stat: os.stat_result) -> int:
    """A number that is another one after every change of a file, or of which file has its name.

    The time of the last change can be set, and stays when files or folders change places; that of
    the last change of the inode cannot, and the inode moves along.
    """
    times = f"{stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
    return int.from_bytes(hashlib.sha256(times.encode()).digest()[:7], "big")


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
