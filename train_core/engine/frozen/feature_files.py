"""`FeatureFile`: rows of numbers that several processes fill and share, kept from kill to kill."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from records.files import write_whole


class FeatureFile:
    """An array of `(rows, features)` float32 as a .npy file, and beside it which rows are filled.

    Args:
        path: The file; its folder is made if need be.
        shape: Of the array.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self._filled = path.with_suffix(".filled")

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """`(len(rows),)` bool: which of these rows nobody has filled yet."""
        if not self._whole():
            return np.ones(len(rows), dtype=bool)
        filled = np.fromfile(self._filled, dtype=np.uint8)
        missing: np.ndarray = filled[rows] == 0
        return missing

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Copies of these rows, `(len(rows), features)`."""
        return np.asarray(np.load(self.path, mmap_mode="r")[rows])

    def write(self, rows: np.ndarray, features: np.ndarray) -> None:
        """Fill rows, in ascending order; only with `lock`.

        They count once they are on the disk: a kill loses no others.

        Raises:
            OSError: For instance because the disk is full.
        """
        if not self._whole():
            self._begin()
        # Not by a memory map: on a full disk that would be the end of the process.
        start = self.path.stat().st_size - 4 * self.shape[0] * self.shape[1]
        with self.path.open("r+b") as file:
            for row, line in zip(rows.tolist(), features.astype(np.float32), strict=True):
                file.seek(start + row * line.nbytes)
                file.write(line.data)
            file.flush()
            os.fsync(file.fileno())
        with self._filled.open("r+b") as file:
            for row in rows.tolist():
                file.seek(row)
                file.write(b"\1")

    @contextmanager
    def lock(self, seconds: float) -> Iterator[bool]:
        """Be the only process that fills it; False = another one was, for so many seconds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _whole(self) -> bool:
        sizes = [p.stat().st_size if p.exists() else 0 for p in (self.path, self._filled)]
        return sizes[0] > 4 * self.shape[0] * self.shape[1] and sizes[1] == self.shape[0]

    def _begin(self) -> None:
        self._filled.unlink(missing_ok=True)
        head = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        with self.path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, head)
            file.truncate(file.tell() + 4 * self.shape[0] * self.shape[1])
        write_whole(self._filled, bytes(self.shape[0]))
