"""Picture files through a model: found, decoded by threads, predicted in batches, in order."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from records.machine import cores
from records.pixels import SUFFIXES
from serve.decode import UnreadablePicture, decode
from serve.model import Model, Prediction

STDIN = Path("-")

_FEW = 200
"""A progress bar for fewer would only flicker."""


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
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(place, name) for name in sorted(files) if not name.startswith(".")]
        # A pipe would never end; a link to nowhere is named when it cannot be read.
        yield from (
            path
            for path in paths
            if path.suffix.lower() in SUFFIXES and (path.is_file() or not path.exists())
        )
    yield from closed


def predictions(model: Model, paths: Sequence[Path]) -> Iterator[tuple[Path, Prediction | str]]:
    """What a model says of files, in the order given; memory does not grow with their number.

    Args:
        model: Says what they show.
        paths: Files, or `-` for stdin.

    Yields:
        Each file with its prediction, or with the reason why it cannot be read.
    """
    starts = range(0, len(paths), model.at_once)
    with ThreadPoolExecutor(cores()) as pool:

        def decoded(start: int) -> Iterator[np.ndarray | str]:
            chunk = paths[start : start + model.at_once]
            return pool.map(lambda path: _decode_or_say_why(path, model.side), chunk)

        following = decoded(0)
        for start in _tracked(starts, len(paths)):
            images = list(following)
            # While the network looks at these, threads decode the next ones.
            following = decoded(start + model.at_once)
            good = [image for image in images if not isinstance(image, str)]
            found = iter(model.predict(np.stack(good)) if good else ())
            for path, image in zip(paths[start : start + model.at_once], images, strict=True):
                yield path, image if isinstance(image, str) else next(found)


def _decode_or_say_why(path: Path, side: int) -> np.ndarray | str:
    try:
        return decode(sys.stdin.buffer.read() if path == STDIN else path, side)
    except UnreadablePicture as error:
        return str(error)


def _tracked(starts: range, count: int) -> Iterable[int]:
    screen = Console(stderr=True)
    if count < _FEW or not screen.is_terminal:
        return starts
    return track(starts, f"{count:,} pictures", console=screen, transient=True)
