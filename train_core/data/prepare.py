"""The cache of decoded images: one array per part, keyed by content.

The two parts are separate files, so that a search opens the training file and nothing else.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from records.files import absolute, write_whole
from records.findings import Findings
from records.metrics import PartFacts
from records.pixels import Fit, stored_side
from records.toml import did_you_mean
from train_core.data import Arrays, PartName, Source
from train_core.data.builtin import BUILTIN
from train_core.data.config import DataConfig, cache_folder
from train_core.data.files import image_files
from train_core.data.split import Rows, choose_folds
from train_core.data.stored import (
    ImageFile,
    ImageRows,
    array_files,
    counts_by_part,
    part_sha256,
    read_known,
    read_ties,
    state_of,
    write_part,
)

_FORMAT = 5  # Raise it whenever decoding or the layout of the cache changes.
_PARTS: tuple[PartName, ...] = ("train", "test")
# What is in the arrays, and the state of the arrays when their hashes were last checked.
_FACTS, _HASHED = "facts.json", "hashed.json"
_BUILTIN = "builtin:"  # Before the name of a data set, where a folder has that name too.
_BUILDING = "building-"  # So begin the names of folders that are not whole yet.


class PreparedData(BaseModel):
    """A data set in the cache."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str
    classes: tuple[str, ...]
    mirror: bool
    image_size: int  # Side of the images as they are kept,
    crop_size: int  # and of their centre, which is what networks see at most.
    fit: Fit = "crop"
    train: PartFacts
    test: PartFacts
    content: str = ""  # Tells these pictures from all others, in words.
    skipped: tuple[str, ...]  # Image files that were left out because they could not be read.
    findings: Findings

    def paths(self, part: PartName) -> tuple[str, ...]:
        """The file of every row of a part, relative to the data set's root; () = no files."""
        return tuple(read_known(Path(self.folder), part)["paths"])

    def rows(self, config: DataConfig) -> Rows:
        """Which rows of the training part are trained on and which validated on."""
        return self.folds(config)[0]

    def folds(self, config: DataConfig) -> tuple[Rows, ...]:
        """The same for every fold; a single one unless the config asks for more."""
        return choose_folds(load_labels(self, "train"), config, read_ties(Path(self.folder)))

    def copies(self) -> np.ndarray:
        """Rows of the test part, ascending, with the same pixels as a row of the training part."""
        return np.array(read_known(Path(self.folder), "test")["copies"] or [], dtype=np.int64)


def prepare(config: DataConfig) -> PreparedData:
    """Make sure that the decoded images are in the cache; the second time this is instant.

    Raises:
        ValueError: There is no such data set, it cannot be read, or the cache cannot be written.
    """
    try:
        source = find_source(config)
        config = config.model_copy(update={"image_size": source.image_size})
        prepared = _prepared(config, source)
    except OSError as error:
        reason = error.strerror or str(error)
        where = f": '{error.filename}'" if error.filename else ""
        raise ValueError(
            f"preparing '{config.dataset}' must be able to read its files and to write below "
            f"'{config.root}', but failed ({reason}{where}): make room, give permission, or name "
            f"another root under [data]"
        ) from None
    _refuse_other(config, prepared)
    mirror, why = prepared.mirror, source.mirror_why
    if config.mirror is not None:
        mirror, why = config.mirror, "as [data] mirror says"
    # What does not change the images is as it is now, not as it was when they were decoded.
    now = {**source.listed, "mirror": mirror, "mirror_why": why}
    findings = prepared.findings.model_copy(update=now)
    return prepared.model_copy(update={"mirror": mirror, "findings": findings})


def _refuse_other(config: DataConfig, prepared: PreparedData) -> None:
    """Refuse pictures that are not those that the config was made with."""
    if config.content not in (None, prepared.content):
        raise ValueError(
            f"this training must have the pictures that it was made with ({config.content}), but "
            f"'{config.dataset}' holds others ({prepared.content}): name their folder as dataset "
            f"under [data], or take out content to train on these"
        )


def load_part(prepared: PreparedData, part: PartName) -> Arrays:
    """Map one part of a prepared data set into memory; the other one stays closed."""
    images, labels = array_files(Path(prepared.folder), part)
    return Arrays(np.load(images, mmap_mode="r"), np.load(labels))


def image_rows(prepared: PreparedData, part: PartName) -> ImageRows:
    """The images of one part, to be read from the cache's file; the other one stays closed."""
    return ImageRows(ImageFile.in_cache(array_files(Path(prepared.folder), part)[0]))


def load_labels(prepared: PreparedData, part: PartName) -> np.ndarray:
    """The labels of one part, `(N,)` int64, without its images."""
    return np.asarray(np.load(array_files(Path(prepared.folder), part)[1]))


def find_source(config: DataConfig) -> Source:
    """The data set of this name, or the folder at this path.

    Raises:
        ValueError: It is neither, or both.
    """
    name = config.dataset.removeprefix(_BUILTIN)
    if name in BUILTIN:
        if name == config.dataset and Path(name).is_dir():
            raise ValueError(
                f"dataset must name one thing, but '{name}' is a data set that comes along and a "
                f"folder right here: write ./{name} for the folder, or {_BUILTIN}{name}"
            )
        return BUILTIN[name](config.model_copy(update={"dataset": name}))
    if Path(config.dataset).expanduser().exists():
        return image_files(config)
    hint = did_you_mean(config.dataset, BUILTIN)
    raise ValueError(
        f"dataset must be one of {', '.join(BUILTIN)} or a folder of images that exists (or a "
        f"table of them), "
        f"but got '{config.dataset}'{': ' if hint else ''}{hint.rstrip()}"
    )


def at_absolute_paths(config: DataConfig) -> DataConfig:
    """The same data, whatever folder a command is run in; what is no folder stays as it is."""
    changes = {"root": absolute(config.root)}
    name = config.dataset.removeprefix(_BUILTIN)
    if name in BUILTIN:
        # The plain name is refused beside a folder of that name, in any folder but this one.
        changes["dataset"] = config.dataset if Path(name).is_dir() else f"{_BUILTIN}{name}"
    elif Path(config.dataset).expanduser().exists():
        changes["dataset"] = absolute(config.dataset)
    return config.model_copy(update=changes)


def _prepared(config: DataConfig, source: Source) -> PreparedData:
    cache = cache_folder(config)
    asked = [source.name, config.image_size, config.test_fraction, config.skip_bad_images]
    if (sizes := _sizes(config)) != {**sizes, "image_size": config.image_size, "fit": "crop"}:
        asked += [sizes["image_size"], config.fit]  # Not before: older caches stay.
    settings, place = [_FORMAT, *asked], str(Path(config.dataset).expanduser().resolve())
    stamp = cache / "stamps" / _digest([*settings, place, source.stamp])
    content = once(source.content or (lambda: source.stamp))
    # A whole cache needs no lock, and may lie on a disk that can only be read.
    if (key := _read_stamp(stamp)) and (cached := _cached(cache / key)):
        return cached
    with _locked(cache):
        key = _read_stamp(stamp)
        if key is None:  # Only then is the content read.
            key = _digest([*settings, content()])
            write_whole(stamp, key)
        # The process that held the lock may have built it.
        return _cached(cache / key) or _build(source, config, cache / key, content)


def _cached(folder: Path) -> PreparedData | None:
    """The data set in this folder of the cache, if it is there and what was written."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        place = {"crop_size": facts["image_size"], "folder": str(folder)}  # As in early versions.
        prepared = PreparedData.model_validate({**place, **facts})
        for part in _PARTS:
            read_known(folder, part)  # As there were none in early versions.
        state = state_of(folder, _PARTS)
        if not _hashes_hold(folder, state):
            for part in _PARTS:
                if getattr(prepared, part).sha256 != part_sha256(folder, part):
                    return None
            # Where the cache can only be read, the next start has to hash again.
            with suppress(OSError):
                write_whole(folder / _HASHED, json.dumps(state))
    except (OSError, ValueError, KeyError):
        return None
    return prepared


def _build(
    source: Source, config: DataConfig, folder: Path, content: Callable[[], str]
) -> PreparedData:
    """Write everything beside the final place and move it there in one step."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_BUILDING) as scratch:
        built = Path(scratch) / folder.name
        built.mkdir()
        facts: dict[str, Any] = {"name": source.name, "classes": source.classes}
        facts |= {"mirror": source.mirror, **_sizes(config)}
        counts: dict[str, dict[str, int]] = {}
        for part in _PARTS:
            arrays = source.read(part)
            write_part(built, part, arrays)
            facts[part] = {"count": len(arrays.labels), "sha256": part_sha256(built, part)}
            counts |= counts_by_part(arrays, part, source.classes)
        facts["findings"] = {**source.listed, **source.found(), "counts": counts, **_sizes(config)}
        count = sum(facts[part]["count"] for part in _PARTS)
        facts["content"] = f"{count:,} pictures, {_digest(content())}"
        facts["skipped"] = source.skipped()
        write_whole(built / _FACTS, json.dumps(facts, indent=1, default=BaseModel.model_dump))
        write_whole(built / _HASHED, json.dumps(state_of(built, _PARTS)))
        if folder.exists():  # Damaged.
            folder.replace(Path(scratch) / "damaged")
        built.replace(folder)
    prepared = _cached(folder)
    assert prepared is not None
    return prepared


def _sizes(config: DataConfig) -> dict[str, Any]:
    """Those of the images, by their names in `PreparedData` and `Findings`."""
    assert config.image_size is not None
    side = stored_side(config.image_size, config.fit)
    return {"image_size": side, "crop_size": config.image_size, "fit": config.fit}


def _hashes_hold(folder: Path, state: dict[str, list[int]]) -> bool:
    """Whether the arrays were in this state when their hashes were last checked."""
    note = folder / _HASHED
    if not note.exists() or note.read_text(encoding="utf-8") != json.dumps(state):
        return False
    # Clocks of file systems tick: a change within the tick of the note would not show.
    return max(changed for _, changed in state.values()) < note.stat().st_mtime_ns


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Keep other processes from building and downloading; remove what killed ones left."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        text = f"waiting for another process that prepares data in '{cache}'"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        lock.acquire()
    try:
        for leftover in cache.glob(f"{_BUILDING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def _digest(value: object) -> str:
    """A key for any content that JSON can say: 20 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:20]


def _read_stamp(stamp: Path) -> str | None:
    """The key in a stamp file, unless there is none or something else is in it."""
    with suppress(OSError):
        text = stamp.read_text(encoding="ascii", errors="replace")
        return text if re.fullmatch("[0-9a-f]{20}", text) else None
    return None
