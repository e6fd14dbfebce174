"""The image files of a data set: their parts, classes and groups, before any of them is opened."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from records.files import walk
from records.pixels import is_picture

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class ImageFile:
    """One image, its path relative to the data set's root, its size in bytes, 0 if not known.

    `state` is a cheap text that changes whenever the content, or whether it can be read, may have.
    """

    path: str
    part: Part
    label: int
    size: int
    state: str
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a data set of files holds.

    Attributes:
        root: What paths are relative to.
        name: What messages call it.
        files: Training, validation and test images, in this order.
        where: Part -> where it comes from, in words; without a test part, one is split off.
        passed_over: Kind -> files that are no images.
        notes: What somebody should know, in whole sentences.
        grouped_by: What makes images a group.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    files: list[ImageFile]
    where: dict[str, str]
    passed_over: dict[str, int]
    notes: tuple[str, ...] = ()
    grouped_by: str | None = None

    def digest(self, describe: Callable[[ImageFile], str]) -> str:
        """A text that is the same exactly when the list is, and what is said of every file."""
        whole = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        for file in self.files:
            known = (file.path, file.part, str(file.label), file.group or "", describe(file))
            whole.update("\0".join(known).encode("utf-8", "surrogateescape") + b"\n")
        return whole.hexdigest()

    def content(self) -> str:
        """A text that is the same exactly when the content of all files is; reads all of them."""
        return self.digest(lambda file: _content(self.root / file.path))


def image_file(root: Path, path: str, part: Part, label: int) -> ImageFile | None:
    """An image as listed; None for a folder and the like with the name of an image."""
    try:
        stat = (root / path).stat()
    # Reading will fail too, and then it is refused or left out by name.
    except OSError:
        return ImageFile(path, part, label, 0, "not there")
    if not S_ISREG(stat.st_mode):
        return None
    # Size and time may be those of another file; its number and its last change of any kind
    # cannot be set at will.
    known = (stat.st_size, stat.st_mtime_ns, stat.st_mode, stat.st_ctime_ns, stat.st_ino)
    return ImageFile(path, part, label, stat.st_size, "\0".join(map(str, known)))


def files_below(folder: Path, passed: Counter[str] | None = None) -> Iterator[Path]:
    """All files below a folder that are not left behind by a system, see `records.files.walk`.

    Raises:
        ValueError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        raise ValueError(
            f"every folder of images must be readable, but '{error.filename}': {error.strerror}; "
            f"mend its permissions or move it away"
        ) from None

    return walk(folder, refuse, passed)


def list_images(
    root: Path, folders: Sequence[Path], part: Part, label: int, passed: Counter[str]
) -> list[ImageFile]:
    """All images of one class in one part, in an order that does not depend on the file system."""
    found = []
    for path in sorted(p for folder in folders for p in files_below(folder, passed)):
        if not is_picture(path):
            passed[path.suffix.lower() or "without a suffix"] += 1
        elif file := image_file(root, path.relative_to(root).as_posix(), part, label):
            found.append(file)
    return found


def holds_pictures(folder: Path) -> bool:
    """Whether there is one below."""
    return any(is_picture(path) for path in files_below(folder))


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"
