"""The cache of decoded images: one array per part, keyed by content.

The two parts are separate files, so that a search opens the training file and nothing else.
"""

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from train_core.data.cache import BUILDING, alone, digest, remembered, write_whole
from train_core.data.config import DataConfig
from train_core.data.registry import find_source
from train_core.data.source import Arrays, PartName, Source

_FORMAT = 2
"""Raise it whenever decoding or the layout of the cache changes."""

_PARTS: tuple[PartName, ...] = ("train", "test")

_FACTS, _HASHED = "facts.json", "hashed.json"
"""What is in the arrays, and the state of the arrays when that was last found to be true."""


class PartFacts(BaseModel):
    """What is known of one part without opening it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    sha256: str
    """Of the image file and the label file, one after the other."""


class PreparedData(BaseModel):
    """A data set in the cache."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str
    classes: tuple[str, ...]
    mirror: bool
    image_size: int
    train: PartFacts
    test: PartFacts
    skipped: tuple[str, ...]
    """Image files that were left out because they could not be read."""


def prepare(config: DataConfig) -> PreparedData:
    """Make sure that the decoded images are in the cache; the second time this is instant.

    Raises:
        ValueError: In one sentence, if there is no such data set, it cannot be read, or the cache
            cannot be written.
    """
    try:
        prepared = _prepared(config)
    except OSError as error:
        reason = error.strerror or str(error)
        where = f": '{error.filename}'" if error.filename else ""
        raise ValueError(
            f"preparing '{config.dataset}' must be able to read its files and to write below "
            f"'{config.root}', but failed ({reason}{where}): make room, give permission, or name "
            f"another root under [data]"
        ) from None
    if config.mirror is not None:
        prepared = prepared.model_copy(update={"mirror": config.mirror})
    return prepared


def load_part(prepared: PreparedData, part: PartName) -> Arrays:
    """Map one part of a prepared data set into memory; the other one stays closed."""
    images, labels = _files(Path(prepared.folder), part)
    return Arrays(np.load(images, mmap_mode="r"), np.load(labels))


def load_labels(prepared: PreparedData, part: PartName) -> np.ndarray:
    """The labels of one part, `(N,)` int64, without its images."""
    return np.asarray(np.load(_files(Path(prepared.folder), part)[1]))


def _prepared(config: DataConfig) -> PreparedData:
    source, cache = find_source(config), Path(config.root) / "cache"
    settings = [
        _FORMAT, source.name, config.image_size, config.test_fraction, config.skip_bad_images
    ]  # fmt: skip
    place = str(Path(config.dataset).resolve())
    stamp = cache / "stamps" / digest([*settings, place, source.stamp])
    # What is whole needs no lock, and may lie on a disk that can only be read.
    if (key := remembered(stamp)) and (found := _found(cache / key)):
        return found
    with alone(cache):
        folder = cache / _key(source, settings, stamp)
        # The process that was waited for may have built it.
        return _found(folder) or _build(source, config, folder)


def _key(source: Source, settings: list[Any], stamp: Path) -> str:
    """The cache key of the content, which is only read when the stamp is a new one."""
    key = remembered(stamp)
    if key is None:
        key = digest([*settings, source.content()])
        write_whole(stamp, key)
    return key


def _found(folder: Path) -> PreparedData | None:
    """What is in the cache, unless it is not there or not what was written."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        prepared = PreparedData.model_validate({**facts, "folder": str(folder)})
        state = _state(folder)
        if not _hashed_as(folder, state):
            for part in _PARTS:
                if getattr(prepared, part).sha256 != _sha256(folder, part):
                    return None
            # Where the cache can only be read, the next start has to hash again.
            with suppress(OSError):
                write_whole(folder / _HASHED, json.dumps(state))
    except (OSError, ValueError):
        return None
    return prepared


def _build(source: Source, config: DataConfig, folder: Path) -> PreparedData:
    """Write everything beside the final place and move it there in one step."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=BUILDING) as scratch:
        built = Path(scratch) / folder.name
        built.mkdir()
        parts = {part: _write(source, part, built) for part in _PARTS}
        facts: dict[str, Any] = {
            "name": source.name,
            "classes": source.classes,
            "mirror": source.mirror,
            "image_size": config.image_size,
            "skipped": source.skipped(),
            **{part: facts.model_dump() for part, facts in parts.items()},
        }
        write_whole(built / _FACTS, json.dumps(facts, indent=1))
        write_whole(built / _HASHED, json.dumps(_state(built)))
        if folder.exists():  # Damaged.
            folder.replace(Path(scratch) / "damaged")
        built.replace(folder)
    prepared = _found(folder)
    assert prepared is not None
    return prepared


def _write(source: Source, part: PartName, folder: Path) -> PartFacts:
    arrays = source.read(part)
    images, labels = _files(folder, part)
    np.save(images, arrays.images)
    np.save(labels, arrays.labels)
    return PartFacts(count=len(arrays.labels), sha256=_sha256(folder, part))


def _files(folder: Path, part: str) -> tuple[Path, Path]:
    return folder / f"{part}.images.npy", folder / f"{part}.labels.npy"


def _sha256(folder: Path, part: str) -> str:
    whole = hashlib.sha256()
    for path in _files(folder, part):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def _state(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of every array."""
    stats = {path.name: path.stat() for part in _PARTS for path in _files(folder, part)}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _hashed_as(folder: Path, state: dict[str, list[int]]) -> bool:
    """Whether the arrays were in this state when they were last held against their hashes."""
    note = folder / _HASHED
    if not note.exists() or note.read_text(encoding="utf-8") != json.dumps(state):
        return False
    # Clocks of file systems tick: a change within the tick of the note would not show.
    return max(changed for _, changed in state.values()) < note.stat().st_mtime_ns
