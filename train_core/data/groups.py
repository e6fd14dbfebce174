"""Images that belong together: of one patient or product, and exact copies."""

import hashlib
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from train_core.data.listing import Listing


def grouped(listing: Listing, pattern: str) -> Listing:
    """The same images, grouped by a regular expression that is searched for in their paths.

    The name of a group is what the expression's first group matches, else all that it matches.

    Raises:
        ValueError: In one sentence, if it is no regular expression or does not match a path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"group must be a column of a table or a regular expression, but got '{pattern}': "
            f"{error}"
        ) from None
    found = [compiled.search(file.path) for file in listing.files]
    files = [
        replace(file, group=match[1] if compiled.groups else match[0])
        for file, match in zip(listing.files, found, strict=True)
        if match
    ]
    if len(files) < len(found):
        without = [f.path for f, match in zip(listing.files, found, strict=True) if not match]
        raise ValueError(
            f"group must match every path, but '{pattern}' does not match {len(without)}: "
            f"{', '.join(without[:3])}"
        )
    return replace(listing, files=files, grouped_by=f"'{pattern}' in the path")


def pixels_digest(image: np.ndarray) -> bytes:
    """The same for images with the same pixels, and for no others."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def same(digests: Sequence[Hashable]) -> list[list[int]]:
    """The sets of two or more rows with the same digest, by their first rows."""
    found: dict[Hashable, list[int]] = {}
    for row, digest in enumerate(digests):
        found.setdefault(digest, []).append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def tied(groups: Sequence[str | None], copies: Iterable[Sequence[int]]) -> np.ndarray | None:
    """The number of the group of every row, `(N,)` int64; None if every row stands alone.

    Rows of one name are a group, and so are copies; what overlaps is joined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    named = same([name if name is not None else (row,) for row, name in enumerate(groups)])
    sets = [*named, *copies]
    if not sets:
        return None
    first = np.concatenate([np.full(len(rows), rows[0]) for rows in sets])
    rows = np.concatenate(sets)
    count = len(groups)
    links = coo_array((np.ones(len(rows)), (first, rows)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)
