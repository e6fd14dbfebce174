"""Files that are whole or not there, the disk that has no room for them, and folders of files."""

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The latter two are what SQLite says when a limit, not the disk, stands in its way.
_SQLITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}

# What systems and network stores leave beside people's files, thumbnails above all.
_LEFT_BEHIND = {
    "@eadir", "@__thumb", "@recycle", "#recycle", "$recycle.bin", "__macosx", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",
}  # fmt: skip


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file in one step, so that no kill and no reader finds half of it.

    Args:
        path: The file; its folder is made if need be.
        content: Text is written as UTF-8; what UTF-8 cannot hold, escaped.
        durable: Whether it must be on the disk before it takes the old one's place.

    Raises:
        OSError: For instance because the disk is full; an older file is still whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = part_of(path)
    try:
        with scratch.open("wb") as file:
            file.write(_encoded(content))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _encoded(content: str | bytes) -> bytes:
    # Names of files can hold what is no text; it is shown escaped.
    return content if isinstance(content, bytes) else content.encode(errors="backslashreplace")


def absolute(path: str) -> str:
    """The same place, named from the root on, `~` expanded; links are left as they are."""
    given = Path(path).expanduser()
    # After a link, `..` leads elsewhere than the names say.
    return str(given.resolve() if ".." in given.parts else given.absolute())


def part_of(path: Path) -> Path:
    """Where this process writes a file before it takes its place; a kill can leave it there."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def parts_of(path: Path) -> list[Path]:
    """What killed processes left of writing this file."""
    return list(path.parent.glob(f"{path.name}.*.part"))


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


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it came from."""
    origin: BaseException | None = error
    while origin is not None:
        yield origin
        origin = origin.__cause__ or origin.__context__


def _says_so(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) in _SQLITE
    return isinstance(error, OSError) and error.errno in _ERRNOS


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or was left there by a system."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def walk(
    folder: Path, closed: Callable[[OSError], None], passed: Counter[str] | None = None
) -> Iterator[Path]:
    """All files below a folder but those that are left behind, sorted within each folder.

    Links to folders are followed, and no folder is entered twice, nor one that the folder itself
    lies in. `closed` is told of folders that cannot be read. `passed` counts what is left behind,
    by the name of the folder it lies in, or as "hidden".
    """
    passed = Counter() if passed is None else passed
    seen = {_identity(parent) for parent in folder.resolve().parents}
    for place, folders, files in os.walk(folder, onerror=closed, followlinks=True):
        if (this := _identity(Path(place))) in seen:
            folders.clear()
            continue
        seen.add(this)
        for name in filter(is_left_behind, folders):
            passed[_kind(name)] += sum(len(names) for *_, names in os.walk(Path(place, name)))
        passed.update(_kind(name) for name in files if is_left_behind(name))
        kept = [Path(place, name) for name in folders if not is_left_behind(name)]
        # Where a link leads to a folder that is here too, the folder's own name counts.
        folders[:] = [path.name for path in sorted(kept, key=lambda p: (p.is_symlink(), p.name))]
        yield from (Path(place, name) for name in sorted(files) if not is_left_behind(name))


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _kind(name: str) -> str:
    return "hidden" if name.startswith(".") else name
