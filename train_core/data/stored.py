"""One part of a data set as files of the cache: images, labels, and what is known of each row.

Images are read and written a few rows at a time: all of them may be more than fits into memory.
"""

import hashlib
import json
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, overload

import numpy as np

from records.files import write_whole
from train_core.data import Content, PartName
from train_core.data.split import Ties

_BLOCK_BYTES = 4 << 20  # What is read at once where nothing else is asked for.


class ImageFile:
    """Images as rows of a file, `(N, side, side, 3)` uint8, read and written by their numbers.

    Nothing of it is mapped into memory, so that neither its size nor a limit on the address space
    matters. The file is closed with the last one who holds this.
    """

    def __init__(self, file: FileIO, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._file, self._start, self._lock = file, file.tell(), Lock()
        self._row_bytes = int(np.prod(shape[1:]))
        weakref.finalize(self, file.close)

    @classmethod
    def in_cache(cls, path: Path) -> "ImageFile":
        """The images of a part, as `write_part` has written them."""
        file = path.open("rb", buffering=0)
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        return cls(file, shape)

    @classmethod
    def without_name(cls, folder: Path, shape: tuple[int, ...]) -> "ImageFile":
        """A new file on the disk of this folder, gone with whoever made it, however that ends."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(TemporaryFile(dir=folder, buffering=0), shape)

    def write(self, row: int, image: np.ndarray) -> None:
        """Write one image."""
        left = np.ascontiguousarray(image).data.cast("B")
        with self._lock:
            self._file.seek(self._start + row * self._row_bytes)
            while left:
                left = left[self._file.write(left) :]

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Read images `(B,)` int64 into the rows of an array; neighbours are read together.

        Raises:
            OSError: The file cannot be read, or has fewer rows than it had.
        """
        if not len(rows):
            return
        starts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
        for first, end in pairwise(starts):
            left = out[first:end].data.cast("B")
            with self._lock:
                self._file.seek(self._start + int(rows[first]) * self._row_bytes)
                while left:
                    if not (count := self._file.readinto(left)):
                        raise OSError(f"'{self._file.name}' must be whole, but it is cut off")
                    left = left[count:]


class ImageRows(Sequence[np.ndarray]):
    """Some rows of images that are in a file or in host memory, in an order of their own.

    A slice is a view, as one of an array is.
    """

    def __init__(self, images: ImageFile | np.ndarray, rows: np.ndarray | None = None) -> None:
        self._images = images
        self._rows = np.arange(images.shape[0]) if rows is None else rows

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, side, side, 3)`."""
        return len(self._rows), *self._images.shape[1:]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, which: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, which: slice) -> "ImageRows": ...
    def __getitem__(self, which: int | slice) -> "np.ndarray | ImageRows":
        if isinstance(which, slice):
            return self.at(which)
        (image,) = self.take(np.array([range(len(self))[which]]))
        return np.asarray(image)

    def at(self, which: np.ndarray | slice) -> "ImageRows":
        """A view of those at these places, `(B,)` int64."""
        return ImageRows(self._images, self._rows[which])

    def take(self, which: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copies of the images at these places, `(B,)` int64, in `out` if it is given."""
        taken = np.empty((len(which), *self.shape[1:]), np.uint8) if out is None else out
        rows = self._rows[which]
        if isinstance(self._images, ImageFile):
            self._images.read(rows, taken)
        else:
            # With any other mode, numpy would copy once more.
            self._images.take(rows, 0, out=taken, mode="clip")
        return taken

    def pieces(self, count: int | None = None) -> Iterator[np.ndarray]:
        """All images, so many at a time; the next ones are read while the caller works."""
        count = count or max(1, _BLOCK_BYTES // max(1, int(np.prod(self.shape[1:]))))
        places = np.arange(len(self))
        waiting = deque[Future[np.ndarray]]()
        with ThreadPoolExecutor(1) as reader:
            for start in range(0, len(self), count):
                waiting.append(reader.submit(self.take, places[start : start + count]))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def array_files(folder: Path, part: str) -> tuple[Path, Path]:
    """Those of the images and of the labels."""
    return folder / f"{part}.images.npy", folder / f"{part}.labels.npy"


def state_of(folder: Path, parts: Sequence[str]) -> dict[str, list[int]]:
    """Size and time of the last change of their array files, by name: a cheap look for changes."""
    stats = {path.name: path.stat() for part in parts for path in array_files(folder, part)}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def part_sha256(folder: Path, part: str) -> str:
    """Hash of a part's images and labels, as in the cache."""
    whole = hashlib.sha256()
    for path in array_files(folder, part):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def known_file(folder: Path, part: str) -> Path:
    """That of what is known of every row besides its image and label."""
    return folder / f"{part}.rows.json"


def read_known(folder: Path, part: PartName) -> dict[str, Any]:
    """What `Content` says of the rows: paths, groups, validation, copies."""
    known: dict[str, Any] = json.loads(known_file(folder, part).read_text(encoding="ascii"))
    return known


def read_ties(folder: Path) -> Ties:
    """What splits of the training part have to keep to."""
    known = read_known(folder, "train")
    found = (known["groups"], known["validation"])
    return Ties(*(None if rows is None else np.array(rows, dtype=np.int64) for rows in found))


def write_part(folder: Path, part: PartName, content: Content) -> None:
    """Write one part, image by image, as they may be rows of a larger array."""
    images, labels = array_files(folder, part)
    shape = (
        (len(content.images), *content.images[0].shape) if len(content.images) else (0, 0, 0, 3)
    )
    head = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with images.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for image in content.images:
            file.write(np.ascontiguousarray(image).data)
    np.save(labels, content.labels)
    rows = {"groups": content.groups, "validation": content.validation, "copies": content.copies}
    known = {key: None if value is None else value.tolist() for key, value in rows.items()}
    write_whole(known_file(folder, part), json.dumps({"paths": content.paths, **known}))


def counts_by_part(
    content: Content, part: str, classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Images by part and class; a validation part that is given counts by itself."""
    labels, found = content.labels, dict[str, np.ndarray]()
    if content.validation is not None:
        found["validation"] = labels[content.validation]
        labels = np.delete(labels, content.validation)
    found[part] = labels
    return {
        name: dict(zip(classes, np.bincount(its, minlength=len(classes)).tolist(), strict=True))
        for name, its in sorted(found.items())
    }
