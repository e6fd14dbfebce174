"""Which picture files a command was given."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from records.pixels import SUFFIXES

STDIN = Path("-")


def pictures(given: Iterable[Path]) -> list[Path]:
    """The files to read: those named, whatever they are called, and all pictures below folders.

    Args:
        given: Files, folders and `-` for stdin.

    Returns:
        In the order given, each folder sorted. Hidden files and folders are left out.
    """
    return [path for one in given for path in (below(one) if one.is_dir() else [one])]


def below(folder: Path) -> Iterator[Path]:
    """All pictures below a folder, by their suffix, sorted; links to folders are not followed.

    A folder that cannot be opened comes last, as if it were a picture: reading it will fail, and
    whoever reads says so.
    """
    closed: list[Path] = []
    for place, folders, files in os.walk(
        folder, onerror=lambda e: closed.append(Path(e.filename))
    ):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(files):
            path = Path(place, name)
            # A pipe would never end; a link to nowhere is named when it cannot be read.
            if not _hidden(name) and path.suffix.lower() in SUFFIXES and not _special(path):
                yield path
    yield from closed


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _special(path: Path) -> bool:
    return path.exists() and not path.is_file()
