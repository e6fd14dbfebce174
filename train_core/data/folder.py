"""A folder of images in ImageFolder layout: one sub-folder per class."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import numpy as np

from records.pixels import SUFFIXES
from train_core.data import Arrays, PartName, Source
from train_core.data.config import DataConfig
from train_core.data.decode import decode_all
from train_core.data.split import stratified_split


@dataclass(frozen=True)
class ImageFile:
    """One image, its path relative to the folder, its size in bytes, 0 if that is not known.

    `state` is a cheap text that changes whenever the content, or whether it can be read, may have.
    """

    path: str
    label: int
    size: int
    state: str


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
        if extra := _folders(root / "test") - set(classes):
            raise ValueError(
                f"'{root / 'test'}' may only hold the classes of train/, but it also holds "
                f"{', '.join(sorted(extra))}"
            )
        test = _list_images(root, root / "test", classes)
    else:
        labels = np.array([file.label for file in train])
        kept, held_out = stratified_split(labels, config.test_fraction, seed=0)
        train, test = [train[i] for i in kept], [train[i] for i in held_out]
    parts, skipped = {"train": train, "test": test}, list[str]()

    def read(part: PartName) -> Arrays:
        arrays, bad = _decode(root, parts[part], config.image_size, f"decoding {part} images")
        skipped.extend(bad)
        if bad and not config.skip_bad_images:
            more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
            raise ValueError(
                f"every image must be readable, but {len(bad)} are not: {', '.join(bad[:10])}"
                f"{more}; mend or remove them, or set skip_bad_images = true under [data]"
            )
        return arrays

    def content() -> str:
        return _digest(train + test, lambda file: _content(root / file.path))

    stamp = _digest(train + test, lambda file: file.state)
    return Source(root.name or "folder", classes, True, stamp, read, content, lambda: skipped)


def _decode(root: Path, files: list[ImageFile], side: int, label: str) -> tuple[Arrays, list[str]]:
    """The images that can be read, and the names of the others, each with the reason."""
    paths, total = [str(root / f.path) for f in files], sum(f.size for f in files)
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)
    labels, names, bad = list[int](), list[str](), list[str]()
    for file, result in zip(files, decode_all(paths, total, side, label), strict=True):
        if isinstance(result, str):
            bad.append(f"{file.path} ({result})")
        else:
            images[len(labels)] = result
            labels.append(file.label)
            names.append(file.path)
    kept = np.array(labels, dtype=np.int64)
    return Arrays(images[: len(labels)], kept, tuple(names)), bad


def _class_folders(root: Path, parts: set[str]) -> tuple[str, ...]:
    names = sorted(_folders(root) - parts)
    if len(names) < 2:
        raise ValueError(
            f"a folder of images must hold at least 2 class folders (train/<class>/*), "
            f"but '{root}' holds {len(names)}: {', '.join(names) or 'none'}"
        )
    return tuple(names)


def _folders(root: Path) -> set[str]:
    return {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}


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
    """An image as listed; None for a folder and the like with the name of an image."""
    name = path.relative_to(root).as_posix()
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
    present = {file.label for file in files}
    empty = [name for label, name in enumerate(classes) if label not in present]
    if empty:
        raise ValueError(
            f"every class folder must hold images ({', '.join(sorted(SUFFIXES))}), but in "
            f"'{root}' these hold none: {', '.join(empty)}"
        )


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _digest(files: list[ImageFile], describe: Callable[[ImageFile], str]) -> str:
    whole = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.label}\0{describe(file)}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
