"""Pictures that are the same or nearly so: resized, encoded again, or slightly changed."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from train_core.data.groups import pixels_digest, same

_BITS = 4  # Of the 64 of a hash, as many may differ between pictures that look the same.
_BLOCK = 256


def copies(images: Sequence[np.ndarray]) -> list[list[int]]:
    """The sets of rows with the same pixels."""
    return same([pixels_digest(image) for image in images])


def near_copies(images: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of rows, the smaller one first, that look the same but have not the same pixels.

    `images` are `(side, side, 3)` uint8. They look the same if their perceptual hashes differ in
    few bits (pHash, as in imagehash: signs of the low frequencies of a cosine transform; Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Pictures without
    any structure are left out.
    """
    again = {row for rows in copies(images) for row in rows[1:]}
    rows = np.array(
        [row for row, image in enumerate(images) if row not in again and np.ptp(image) > 0],
        dtype=np.int64,
    )
    hashes = np.array([_hash(images[row]) for row in rows], dtype=np.uint64)
    return [(int(rows[one]), int(rows[other])) for one, other in _close(hashes)]


def _close(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, None]
        near = np.bitwise_count(block ^ hashes[None, start:]) <= _BITS
        for one, other in zip(*np.nonzero(near), strict=True):
            if one < other:
                yield start + one, start + other


def _hash(image: np.ndarray) -> int:
    import imagehash

    return int(str(imagehash.phash(Image.fromarray(image))), 16)
