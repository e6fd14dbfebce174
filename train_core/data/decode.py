"""Image files to `(side, side, 3)` uint8 arrays, by several processes where that is quicker."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from records.machine import cores, die_with_parent
from records.pixels import FORMATS, SMALL, Fit, fit_square, square_pixels

USUAL_SMALL, USUAL = 32, 224
"""Sides at which networks see images where nobody says which: small ones, and all others, at the
size that pretrained networks are used to."""

_SAMPLE = 256  # Files whose heads tell how large the images of a folder are.

# Starting processes costs more than decoding this much.
_FEW_FILES, _FEW_BYTES = 768, 16 << 20
# What a process decodes before it reports: little enough that all of them have work.
_CHUNK_FILES, _CHUNK_BYTES = 256, 2 << 20
_CHUNK_PIXELS = 32 << 20  # Bytes that it hands over at once, when they are decoded.


class Decoded(NamedTuple):
    """An image, `(side, side, 3)` uint8, and the width and height of its file in pixels."""

    pixels: np.ndarray
    size: tuple[int, int]


def decode(path: Path, side: int) -> np.ndarray:
    """`(side, side, 3)` uint8 from an image file; raises as `decode_sized` does."""
    return decode_sized(path, side).pixels


def decode_sized(path: Path, side: int, fit: Fit = "crop") -> Decoded:
    """An image of a format in `records.pixels.FORMATS`; of an animation the first frame.

    Raises:
        OSError: The file cannot be read, is not an image, is cut off, or is larger than a
            decompression bomb may be.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
            return Decoded(square_pixels(image, side, fit), size)
    except OSError:
        raise
    # Pillow's decoders raise whatever a broken file leads them to.
    except Exception as error:  # noqa: BLE001
        raise OSError(f"{type(error).__name__}: {error}") from None


def usual_size(paths: Sequence[Path]) -> int:
    """The size for image files, by the median of the shorter sides of some, always the same ones.

    Only their heads are read; those that cannot be read do not count.
    """
    some = np.random.default_rng(0).permutation(len(paths))[:_SAMPLE]
    sides = [side for row in some.tolist() if (side := _shorter_side(paths[row]))]
    return USUAL_SMALL if not sides or np.median(sides) <= SMALL else USUAL


def _shorter_side(path: Path) -> int | None:
    # Whatever is wrong with a file is said when it is decoded.
    with suppress(Exception), Image.open(path, formats=FORMATS) as image:
        return min(image.size)
    return None


def resize_all(images: np.ndarray, side: int) -> np.ndarray:
    """`(N, side, side, 3)` uint8 from `(N, H, W)` grey or `(N, H, W, 3)` RGB uint8."""
    if images.shape[1:] == (side, side, 3):
        return images
    return np.stack([fit_square(Image.fromarray(i).convert("RGB"), side) for i in images])


def decode_all(
    paths: list[str], total_bytes: int, side: int, label: str, fit: Fit = "crop"
) -> Iterator[Decoded | str]:
    """Decode image files of so many bytes together, which decides how the work is shared.

    Yields:
        For every path in order the image, or why it cannot be read.
    """
    if len(paths) <= _FEW_FILES and total_bytes <= _FEW_BYTES:
        for path in paths:
            yield _decode_or_reason(path, side, fit)
        return
    most = max(1, _CHUNK_PIXELS // (3 * side**2))
    tasks = [(chunk, side, fit) for chunk in chunks(paths, total_bytes, most)]
    spawn = get_context("spawn")
    with ProcessPoolExecutor(cores(), spawn, die_with_parent) as pool:
        done = _in_order(pool, tasks, 2 * cores())
        console = Console(stderr=True)
        yield from chain.from_iterable(
            track(done, label, len(tasks), console=console, transient=True)
        )


def _in_order(
    pool: ProcessPoolExecutor, tasks: list[tuple[list[str], int, Fit]], ahead: int
) -> Iterator[list[Decoded | str]]:
    """As `pool.map`, with so many tasks at most that are not yet asked for: memory stays flat."""
    waiting = deque[Future[list[Decoded | str]]]()
    for task in tasks:
        waiting.append(pool.submit(_decode_chunk, task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def chunks(paths: list[str], total_bytes: int, most: int = _CHUNK_FILES) -> list[list[str]]:
    """Cut a list of files into pieces of a few megabytes, of one file where files are larger.

    None has more than `most` files.
    """
    size = max(_CHUNK_BYTES * len(paths) // max(total_bytes, 1), 1)
    size = min(size, most, _CHUNK_FILES)
    return [paths[i : i + size] for i in range(0, len(paths), size)]


def _decode_chunk(task: tuple[list[str], int, Fit]) -> list[Decoded | str]:
    paths, side, fit = task
    return [_decode_or_reason(path, side, fit) for path in paths]


def _decode_or_reason(path: str, side: int, fit: Fit) -> Decoded | str:
    try:
        return decode_sized(Path(path), side, fit)
    except OSError as error:
        return error.strerror or str(error).replace(path, "").strip(" :'") or "unreadable"
