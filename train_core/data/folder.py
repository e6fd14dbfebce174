"""A folder of images in ImageFolder layout: one sub-folder per class."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from train_core.data.config import DataConfig
from train_core.data.decode import IMAGE_SUFFIXES, decode
from train_core.data.source import Arrays, PartName, Source
from train_core.data.split import stratified_split
from train_core.processes import die_with_parent

_CHUNK = 256


@dataclass(frozen=True)
class ImageFile:
    """One image of a folder: its path relative to the folder, and the label of its class."""

    path: str
    label: int


@dataclass
class _Reader:
    """Decodes the listed files in parallel and remembers which ones it could not read."""

    root: Path
    parts: dict[PartName, list[ImageFile]]
    config: DataConfig
    skipped: list[str] = field(default_factory=list)

    def read(self, part: PartName) -> Arrays:
        files, side = self.parts[part], self.config.image_size
        images = np.empty((len(files), side, side, 3), dtype=np.uint8)
        good = np.ones(len(files), dtype=bool)
        for row, result in enumerate(self._decoded(files, part)):
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

    def _decoded(self, files: list[ImageFile], part: str) -> Iterator[np.ndarray | str]:
        chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
        tasks = [
            ([str(self.root / f.path) for f in chunk], self.config.image_size) for chunk in chunks
        ]
        # Starting processes costs more than decoding a few hundred small files.
        if len(chunks) < 4:
            yield from chain.from_iterable(map(_decode_chunk, tasks))
            return
        spawn = get_context("spawn")
        with ProcessPoolExecutor(mp_context=spawn, initializer=die_with_parent) as pool:
            done = pool.map(_decode_chunk, tasks)
            screen = Console(stderr=True)
            shown = track(
                done, f"decoding {part} images", len(tasks), console=screen, transient=True
            )
            yield from chain.from_iterable(shown)

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
    classes = _class_folders(train_root)
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
        stamp=_digest(_stat_lines(root, files)),
        content=lambda: _digest(_content_lines(root, files)),
        read=reader.read,
        skipped=lambda: reader.skipped,
    )


def _class_folders(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise ValueError(
            f"--dataset must be the name of a data set or a folder that exists, but got '{root}'"
        )
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = [name for name in names if name not in ("train", "test")]
    if len(names) < 2:
        raise ValueError(
            f"a folder of images must hold at least 2 class folders (train/<class>/*), "
            f"but '{root}' holds {len(names)}: {', '.join(names) or 'none'}"
        )
    return tuple(names)


def _list_images(root: Path, part_root: Path, classes: tuple[str, ...]) -> list[ImageFile]:
    """All images of one part, in an order that does not depend on the file system."""
    return [
        ImageFile(str(path.relative_to(root)), label)
        for label, name in enumerate(classes)
        for path in sorted((part_root / name).rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]


def _refuse_empty(files: list[ImageFile], classes: tuple[str, ...], root: Path) -> None:
    counts = np.bincount([file.label for file in files], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(
            f"every class folder must hold images ({', '.join(sorted(IMAGE_SUFFIXES))}), but in "
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


def _stat_lines(root: Path, files: list[ImageFile]) -> Iterator[str]:
    for file in files:
        stat = (root / file.path).stat()
        yield f"{file.path}\0{file.label}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _content_lines(root: Path, files: list[ImageFile]) -> Iterator[str]:
    for file in files:
        digest = hashlib.sha256((root / file.path).read_bytes()).hexdigest()
        yield f"{file.path}\0{file.label}\0{digest}"


def _digest(lines: Iterator[str]) -> str:
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()


def _decode_chunk(task: tuple[list[str], int]) -> list[np.ndarray | str]:
    """Images as arrays; for those that cannot be read, the reason instead."""
    paths, side = task
    results: list[np.ndarray | str] = []
    for path in paths:
        try:
            results.append(decode(Path(path), side))
        except OSError as error:
            results.append(
                error.strerror or str(error).replace(path, "").strip(" :'") or "unreadable"
            )
    return results
