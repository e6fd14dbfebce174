"""Many picture files through a model: decoded by threads, answered in batches, in order."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from records.machine import cores
from serve.decode import UnreadablePicture, decode
from serve.library.files import STDIN
from serve.model import Answers, Model

_FEW = 200
"""A progress bar for fewer would only flicker."""


@dataclass(frozen=True)
class Seen:
    """A picture that was read.

    Attributes:
        path: Its file.
        probabilities: `(classes,)` float32.
        embedding: `(features,)` float32.
    """

    path: Path
    probabilities: np.ndarray
    embedding: np.ndarray


@dataclass(frozen=True)
class Unreadable:
    """A picture that was not.

    Attributes:
        path: Its file.
        reason: Why not, in a few words.
    """

    path: Path
    reason: str


def answers(model: Model, paths: Sequence[Path]) -> Iterator[Seen | Unreadable]:
    """Look at files, in the order given; memory does not grow with their number.

    Args:
        model: What looks.
        paths: Files, or `-` for stdin.
    """
    starts = range(0, len(paths), model.at_once)
    with ThreadPoolExecutor(cores()) as pool:
        waiting = [_decode_all(pool, model.side, paths[: model.at_once])] if paths else []
        for start in _tracked(starts, len(paths)):
            # While the network looks at these, threads decode the next ones.
            chunk, images = paths[start : start + model.at_once], list(waiting.pop())
            rest = paths[start + model.at_once :][: model.at_once]
            waiting.append(_decode_all(pool, model.side, rest))
            yield from _answered(model, chunk, images)


def _decode_all(
    pool: ThreadPoolExecutor, side: int, paths: Sequence[Path]
) -> Iterator[np.ndarray | str]:
    return pool.map(lambda path: _decode_or_say_why(path, side), paths)


def _decode_or_say_why(path: Path, side: int) -> np.ndarray | str:
    try:
        return decode(sys.stdin.buffer.read() if path == STDIN else path, side)
    except UnreadablePicture as error:
        return str(error)


def _answered(
    model: Model, paths: Sequence[Path], images: Sequence[np.ndarray | str]
) -> Iterator[Seen | Unreadable]:
    good = [image for image in images if not isinstance(image, str)]
    said = iter(_rows(model.answer(np.stack(good)))) if good else iter(())
    for path, image in zip(paths, images, strict=True):
        yield Unreadable(path, image) if isinstance(image, str) else Seen(path, *next(said))


def _rows(said: Answers) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(said.probabilities, said.embeddings, strict=True)


def _tracked(starts: range, count: int) -> Iterator[int]:
    screen = Console(stderr=True)
    if count < _FEW or not screen.is_terminal:
        return iter(starts)
    return iter(track(starts, f"{count:,} pictures", console=screen, transient=True))
