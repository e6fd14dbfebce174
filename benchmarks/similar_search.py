"""How long the most similar pictures take to find, by brute force, and the index to be read.

    python -m benchmarks.similar_search [--features 64 256]

Random embeddings; how fast they are compared does not depend on what they say. Up to where the
answer comes within 100 ms nobody needs more than NumPy.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.machine import head
from serve.library.index import Entry, Index
from serve.library.similar import Collection

_COUNTS = (1_000, 10_000, 100_000, 1_000_000)


def main() -> None:
    """Measure, a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--features", type=int, nargs="+", default=[64, 256])
    features = parser.parse_args().features
    print(head())
    for size in features:
        for count in _COUNTS:
            if count * size <= 64_000_000:
                _measure(count, size)


def _measure(count: int, features: int) -> None:
    random = np.random.default_rng(0)
    embeddings = random.standard_normal((count, features), dtype=np.float32)
    names = [str(number) for number in range(count)]
    collection = Collection(Path(), names, names, embeddings)
    queries = random.standard_normal((20, features), dtype=np.float32)
    times = [_seconds(partial(collection.nearest, query, 10)) for query in queries]
    read = "" if count > 100_000 else f", index read in {_read(names, embeddings):.2f} s"
    print(
        f"{count:9,} pictures x {features:3}: 10 nearest in "
        f"{1000 * statistics.median(times):6.2f} ms (worst of 20: {1000 * max(times):.2f}), "
        f"{embeddings.nbytes / 2**20:.0f} MiB{read}",
        flush=True,
    )


def _read(names: list[str], embeddings: np.ndarray) -> float:
    with tempfile.TemporaryDirectory() as folder:
        index = Index.new(Path(folder) / "x", "m", "/", embeddings.shape[1])
        rows = zip(names, embeddings, strict=True)
        index.put([Entry(name, 1, 1, "a", row) for name, row in rows])
        return _seconds(index.load)


def _seconds(task: Callable[[], object]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
