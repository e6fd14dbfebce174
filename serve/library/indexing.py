"""Bringing an index up to date with its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serve.library.batches import Seen, answers
from serve.library.files import below
from serve.library.index_file import Entry, IndexFacts, IndexFile, new_index, open_index
from serve.model import Model

_KEPT_TOGETHER = 256
"""Pictures per transaction: what a kill can cost."""


@dataclass(frozen=True)
class Update:
    """What an update did.

    Attributes:
        added: New or changed pictures that were looked at.
        kept: Pictures that had not changed.
        dropped: Pictures that are gone or cannot be read any more.
        unreadable: Pictures that could not be read.
    """

    added: int
    kept: int
    dropped: int
    unreadable: int


def index_for(path: Path, model: Model, folder: Path) -> IndexFile:
    """The index of a folder by a model, made if it is not there.

    Raises:
        ValueError: In one sentence, if the file is something else, or of another model or folder.
    """
    wanted = IndexFacts(model.digest, str(folder.resolve()), model.features)
    if not path.exists():
        return new_index(path, wanted)
    index = open_index(path)
    check_model(index, model)
    if index.facts.root != wanted.root:
        raise ValueError(
            f"an index is of one folder, but '{path}' is of '{index.facts.root}' and not of "
            f"'{wanted.root}': name another one with --index"
        )
    return index


def check_model(index: IndexFile, model: Model) -> None:
    """Whether an index was made by this model; the embeddings of two cannot be compared.

    Raises:
        ValueError: In one sentence, if not.
    """
    if index.facts.model != model.digest:
        raise ValueError(
            f"an index and the model must belong together, but '{index.path}' was made by model "
            f"{index.facts.model[:8]} and '{model.folder}' is {model.digest[:8]}: make a new index"
        )


def update(
    index: IndexFile, model: Model, folder: Path, complain: Callable[[str], None]
) -> Update:
    """Look at what is new or changed, forget what is gone.

    Args:
        index: Of this folder, by this model.
        model: What looks.
        folder: The pictures.
        complain: Gets a line for every picture that cannot be read.
    """
    known, there = index.states(), _states(folder)
    todo = [path for path, state in there.items() if known.get(path) != state]
    unreadable: set[str] = set()
    entries: list[Entry] = []
    for seen in answers(model, [folder / path for path in todo]):
        path = str(seen.path.relative_to(folder))
        if isinstance(seen, Seen):
            name = model.classes[seen.probabilities.argmax()]
            entries.append(Entry(path, *there[path], name, seen.embedding))
        else:
            unreadable.add(path)
            complain(f"{seen.path}: {seen.reason}")
        if len(entries) >= _KEPT_TOGETHER:
            index.put(entries)
            entries = []
    index.put(entries)
    gone = {path for path in known if path not in there or path in unreadable}
    index.drop(gone)
    added = len(todo) - len(unreadable)
    return Update(added, len(there) - len(todo), len(gone), len(unreadable))


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every picture, by its path in the folder."""
    found = {}
    for path in below(folder):
        try:
            stat = path.stat()
            state = (stat.st_size, stat.st_mtime_ns)
        except OSError:  # A link to nowhere: it will be named when it cannot be read.
            state = (0, 0)
        found[str(path.relative_to(folder))] = state
    return found
