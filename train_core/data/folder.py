"""A folder of images in ImageFolder layout: one sub-folder per class."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

import numpy as np

from records.pixels import SUFFIXES
from train_core.data.config import DataConfig
from train_core.data.decode import decode_all
from train_core.data.source import Arrays, PartName, Source
from train_core.data.split import stratified_split


@dataclass(frozen=True)
class ImageFile:
    """One image of a folder.

    Attributes:
        path: Relative to the folder.
        label: Of its class.
        size: In bytes; 0 if that cannot be known.
        state: Cheap text that changes whenever the content, or whether it can be read, may have.
    """

    path: str
    label: int
    size: int
    state: str


@dataclass
class _Reader:
    """Decodes the listed files in parallel and remembers which ones it could not read."""

    root: Path
    parts: dict[PartName, list[ImageFile]]
    config: DataConfig
    skipped: list[str] = field(default_factory=list)

    def read(self, part: PartName) -> Arrays:
        files, side = self.parts[part], self.config.image_size
        paths, total = [str(self.root / f.path) for f in files], sum(f.size for f in files)
        images = np.empty((len(files), side, side, 3), dtype=np.uint8)
        good = np.ones(len(files), dtype=bool)
        for row, result in enumerate(decode_all(paths, total, side, f"decoding {part} images")):
            if isinstance(result, str):
                self.skipped.append(f"{files[row].path} ({result})")
                good[row] = False
            else:
                images[row] = result
        if not good.all():
            self._refuse_unless_skipping()
            images = images[good]
        labels = np.array([file.label for file in files], dtype=np.int64)[good]
        return Arrays(images, labels)

    def _refuse_unless_skipping(self) -> None:
        if not self.config.skip_bad_images:
            shown = ", ".join(self.skipped[:10])
            more = f" and {len(self.skipped) - 10} more" if len(self.skipped) > 10 else ""
            raise ValueError(
                f"every image must be readable, but {len(self.skipped)} are not: {shown}{more}; "
                f"mend or remove them, or set skip_bad_images = true under [data]"
            )


def folder(config: DataConfig) -> Source:
    """The images below a folder of the user's.

    Raises:
        ValueError: In one sentence, if the folder is not laid out as it must be.
    """
    root = Path(config.dataset)
    train_root = root / "train" if (root / "train").is_dir() else root
    # Only beside the class folders `test` is a part; elsewhere a class may be called so.
    classes = _class_folders(train_root, {"test"} if train_root == root else set())
    train = _list_images(root, train_root, classes)
    _refuse_empty(train, classes, train_root)
    if (root / "test").is_dir():
        _refuse_unknown_classes(root / "test", classes)
        test = _list_images(root, root / "test", classes)
    else:
        labels = np.array([file.label for file in train])
        kept, held_out = stratified_split(labels, config.test_fraction, seed=0)
        train, test = [train[i] for i in kept], [train[i] for i in held_out]
    files = train + test
    reader = _Reader(root, {"train": train, "test": test}, config)
    return Source(
        name=root.name or "folder",
        classes=classes,
        mirror=True,
        stamp=_digest(_state_lines(files)),
        content=lambda: _digest(_content_lines(root, files)),
        read=reader.read,
        skipped=lambda: reader.skipped,
    )


def _class_folders(root: Path, parts: set[str]) -> tuple[str, ...]:
    if not root.is_dir():
        raise ValueError(
            f"--dataset must be the name of a data set or a folder that exists, but got '{root}'"
        )
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = [name for name in names if name not in parts]
    if len(names) < 2:
        raise ValueError(
            f"a folder of images must hold at least 2 class folders (train/<class>/*), "
            f"but '{root}' holds {len(names)}: {', '.join(names) or 'none'}"
        )
    return tuple(names)


def _list_images(root: Path, part_root: Path, classes: tuple[str, ...]) -> list[ImageFile]:
    """All images of one part, in an order that does not depend on the file system."""
    found = [
        _image_file(path, root, label)
        for label, name in enumerate(classes)
        for path in sorted(_files_below(part_root / name))
        if path.suffix.lower() in SUFFIXES
    ]
    return [file for file in found if file is not None]


def _files_below(folder: Path) -> Iterator[Path]:
    """What is in a folder and in its folders, leaving out what is hidden."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return  # A test part need not have every class.
        raise ValueError(
            f"every folder of images must be readable, but '{error.filename}': {error.strerror}; "
            f"mend its permissions or move it away"
        ) from None

    for where, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in files if not name.startswith("."))


def _image_file(path: Path, root: Path, label: int) -> ImageFile | None:
    """An image as listed; None for folders and the like that are only called as one."""
    name = str(path.relative_to(root))
    try:
        stat = path.stat()
    # Reading will fail too, and then it is refused or left out by name.
    except OSError:
        return ImageFile(name, label, 0, "not there")
    if not S_ISREG(stat.st_mode):
        return None
    state = f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_mode}"
    return ImageFile(name, label, stat.st_size, state)


def _refuse_empty(files: list[ImageFile], classes: tuple[str, ...], root: Path) -> None:
    counts = np.bincount([file.label for file in files], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(
            f"every class folder must hold images ({', '.join(sorted(SUFFIXES))}), but in "
            f"'{root}' these hold none: {', '.join(empty)}"
        )


def _refuse_unknown_classes(test_root: Path, classes: tuple[str, ...]) -> None:
    extra = {p.name for p in test_root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    extra -= set(classes)
    if extra:
        raise ValueError(
            f"'{test_root}' may only hold the classes of train/, but it also holds "
            f"{', '.join(sorted(extra))}"
        )


def _state_lines(files: list[ImageFile]) -> Iterator[str]:
    for file in files:
        yield f"{file.path}\0{file.label}\0{file.state}"


def _content_lines(root: Path, files: list[ImageFile]) -> Iterator[str]:
    for file in files:
        try:
            content = hashlib.sha256((root / file.path).read_bytes()).hexdigest()
        except OSError:
            content = "unreadable"
        yield f"{file.path}\0{file.label}\0{content}"


def _digest(lines: Iterator[str]) -> str:
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()
