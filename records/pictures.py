"""Which files of a folder are pictures: one rule for the training and for serving."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from records.pixels import SUFFIXES

# What systems and network stores leave beside people's files, thumbnails above all.
_LEFT_BEHIND = {
    "@eadir", "@__thumb", "@recycle", "#recycle", "$recycle.bin", "__macosx", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",
}  # fmt: skip


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or was left there by a system."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def is_picture(path: Path) -> bool:
    """Whether its suffix is one of a format that is read."""
    return path.suffix.lower() in SUFFIXES


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
