"""The cache of decoded images: one array per part, keyed by content.

The two parts are separate files, so that a search opens the training file and nothing else.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from train_core.data.config import DataConfig
from train_core.data.registry import find_source
from train_core.data.source import Arrays, PartName, Source

_FORMAT = 1
"""Raise it whenever decoding or the layout of the cache changes."""


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
        ValueError: In one sentence, if there is no such data set or it cannot be read.
    """
    source = find_source(config)
    cache = Path(config.root) / "cache"
    folder = cache / _key(source, config, cache)
    prepared = _found(folder)
    if prepared is None:
        _build(source, config, folder)
        prepared = _found(folder)
        assert prepared is not None
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


def _key(source: Source, config: DataConfig, cache: Path) -> str:
    """The cache key of the content, which is only read when the stamp is a new one."""
    settings = [
        _FORMAT, source.name, config.image_size, config.test_fraction, config.skip_bad_images
    ]  # fmt: skip
    place = str(Path(config.dataset).resolve())
    stamp_file = cache / "stamps" / _digest([*settings, place, source.stamp])
    if stamp_file.is_file():
        return stamp_file.read_text(encoding="ascii").strip()
    key = _digest([*settings, source.content()])
    stamp_file.parent.mkdir(parents=True, exist_ok=True)
    stamp_file.write_text(key, encoding="ascii")
    return key


def _found(folder: Path) -> PreparedData | None:
    """What is in the cache, unless it is not there or not what was written."""
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        prepared = PreparedData.model_validate({**facts, "folder": str(folder)})
        whole = all(
            getattr(prepared, part).sha256 == _sha256(folder, part) for part in ("train", "test")
        )
    except (OSError, ValueError, ValidationError):
        return None
    return prepared if whole else None


def _build(source: Source, config: DataConfig, folder: Path) -> None:
    """Write everything beside the final place and move it there in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
        built = Path(scratch) / folder.name
        built.mkdir()
        parts = {part: _write(source, part, built) for part in ("train", "test")}
        facts: dict[str, Any] = {
            "name": source.name,
            "classes": source.classes,
            "mirror": source.mirror,
            "image_size": config.image_size,
            "skipped": source.skipped(),
            **{part: facts.model_dump() for part, facts in parts.items()},
        }
        (built / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        built.replace(folder)


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


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:20]
