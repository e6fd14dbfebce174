"""A data set of image files, in a folder or named by a table, that can be read into arrays."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from records.findings import Originals
from records.pixels import stored_side
from train_core.data import Content, PartName, Source
from train_core.data.config import DataConfig, cache_folder
from train_core.data.decode import decode_all, usual_size
from train_core.data.groups import grouped, pixels_digest, same, tied
from train_core.data.layout import PART_NAMES, list_folder
from train_core.data.listing import Listing
from train_core.data.split import stratified_split
from train_core.data.stored import ImageFile, ImageRows
from train_core.data.table import list_table

_MIRROR_WHY = "as nothing says that left and right matter ([data] mirror)"
_ALPHABET = 8  # So many names of one character are those of digits or letters.
_SETS = 10  # Of pictures in two classes that are kept with their paths.


def image_files(config: DataConfig) -> Source:
    """The images below a folder of the user's, or in a table.

    Raises:
        ValueError: In one sentence, if it is not laid out as it must be.
    """
    listing = list_images(config)
    _refuse_few(listing, config)
    files = [listing.root / file.path for file in listing.files]
    size = usual_size(files) if config.image_size is None else config.image_size
    config = config.model_copy(update={"image_size": size})
    reading = _Reading(listing, config)
    notes = (*listing.notes, *_sided(listing.classes, config.mirror))
    found = {
        "where": listing.where, "passed_over": listing.passed_over, "notes": notes,
        "grouped_by": listing.grouped_by,
    }  # fmt: skip
    stamp = listing.digest(lambda file: file.state)
    return Source(
        listing.name, listing.classes, True, stamp, reading.part, listing.content,
        lambda: reading.bad, _MIRROR_WHY, found, reading.found, size,
    )  # fmt: skip


def list_images(config: DataConfig) -> Listing:
    """The images that the config names, with their groups.

    Raises:
        ValueError: In one sentence, if the folder or table does not say what it must.
    """
    place = Path(config.dataset).expanduser()
    if place.is_file():
        listing = list_table(place, config.group)
    else:
        listing = list_folder(place, config.layout)
    if config.group is None or listing.grouped_by is not None:
        return listing
    return grouped(listing, config.group)


def _refuse_few(listing: Listing, config: DataConfig) -> None:
    """Every part that is split off takes one picture of each class; groups are split otherwise."""
    parts = {file.part for file in listing.files}
    split = "test" not in parts, "validation" not in parts and config.validation_fraction > 0
    least, counts = 1 + sum(split), Counter(f.label for f in listing.files if f.part == "train")
    few = [f"{n} has {counts[i]}" for i, n in enumerate(listing.classes) if counts[i] < least]
    if few and config.group is None:
        raise ValueError(
            f"every class needs at least {least} pictures to train on and to split parts from, "
            f"but {', '.join(few)}: add pictures or remove the class"
        )


def _sided(classes: Sequence[str], mirror: bool | None) -> list[str]:
    """A hint where the names say that a mirrored picture may be of another class."""
    words = {word for name in classes for word in name.casefold().replace("-", "_").split("_")}
    signs = len(classes) >= _ALPHABET and all(len(name) == 1 for name in classes)
    if mirror is not None or not (signs or {"left", "right"} <= words):
        return []
    return [
        "by their names, mirrored pictures may show another class: mirror = false under [data] "
        "leaves them as they are"
    ]


class _Decoded(NamedTuple):
    """What is read of listed files, by row."""

    images: ImageFile
    sizes: list[tuple[int, int] | str]  # Width and height of the file, or why it is not there.
    digests: list[Hashable]  # The same for files with the same pixels.


@dataclass(frozen=True)
class _Reading:
    """The content of listed files, read once and then handed out by part."""

    listing: Listing
    config: DataConfig

    def part(self, part: PartName) -> Content:
        """The training part, followed by a validation part that is given, or the test part."""
        self._refuse_bad()
        self._refuse_empty(part)
        files, rows = self.listing.files, self._rows[part]
        if part == "train":
            given = self._rows["validation"]
            validation = np.arange(len(rows), len(rows) + len(given)) if len(given) else None
            rows = np.concatenate([rows, given])
        else:
            validation = None
        groups = None if self._groups is None else self._groups[rows]
        if groups is not None and len(np.unique(groups)) == len(rows):
            groups = None
        learnt = set(np.concatenate([self._rows["train"], self._rows["validation"]]).tolist())
        known = {row for rows in self._copies if not learnt.isdisjoint(rows) for row in rows}
        return Content(
            images=ImageRows(self._decoded.images, rows),
            labels=self._labels[rows],
            paths=tuple(files[row].path for row in rows),
            groups=groups,
            validation=validation,
            copies=np.flatnonzero([part == "test" and row in known for row in rows.tolist()]),
        )

    @property
    def bad(self) -> list[str]:
        """The files that cannot be read, each with the reason."""
        files = self.listing.files
        return [f"{files[row].path} ({reason})" for row, reason in self._unreadable.items()]

    def found(self) -> Mapping[str, Any]:
        """What `Findings` says of the content."""
        files, parts = self.listing.files, self._parts
        mixed = [rows for rows in self._copies if len({files[row].label for row in rows}) > 1]
        names = [file.group for file in files]
        of_one = same([name if name is not None else (row,) for row, name in enumerate(names)])
        return {
            "originals": self._originals(),
            "copies": sum(len(rows) - 1 for rows in self._copies),
            "copies_between": _between(parts, self._copies, pictures=True),
            "two_classes": tuple(_first_of_each([files[r] for r in s]) for s in mixed[:_SETS]),
            "two_classes_count": len(mixed),
            "groups": len({name for name in names if name is not None}),
            "groups_between": _between(parts, of_one, pictures=False),
        }

    @cached_property
    def _decoded(self) -> _Decoded:
        files, side, fit = self.listing.files, self._side, self.config.fit
        paths = [str(self.listing.root / file.path) for file in files]
        # On the disk of the cache, as there may not be enough memory for all of them.
        images = ImageFile.without_name(cache_folder(self.config), (len(files), side, side, 3))
        decoded = _Decoded(images, [], [])
        total = sum(file.size for file in files)
        for row, result in enumerate(decode_all(paths, total, side, "decoding images", fit)):
            if isinstance(result, str):
                decoded.sizes.append(result)
                decoded.digests.append(row)
            else:
                images.write(row, result.pixels)
                decoded.sizes.append(result.size)
                decoded.digests.append(pixels_digest(result.pixels))
        return decoded

    @cached_property
    def _unreadable(self) -> dict[int, str]:
        return {row: k for row, k in enumerate(self._decoded.sizes) if isinstance(k, str)}

    def _refuse_bad(self) -> None:
        if (bad := self.bad) and not self.config.skip_bad_images:
            more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
            raise ValueError(
                f"every image must be readable, but {len(bad)} are not: {', '.join(bad[:10])}"
                f"{more}; mend or remove them, or set skip_bad_images = true under [data]"
            )

    def _refuse_empty(self, part: PartName) -> None:
        """Whether enough can be read to train and to test on."""
        present = set(self._labels[self._rows[part]].tolist())
        lost = [n for label, n in enumerate(self.listing.classes) if label not in present]
        if lost and (part == "train" or not present):
            raise ValueError(
                f"every class must have {part} images that can be read, but {', '.join(lost)} "
                f"{'have' if len(lost) > 1 else 'has'} none: mend them"
            )

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.array([file.label for file in self.listing.files], dtype=np.int64)

    @cached_property
    def _copies(self) -> list[list[int]]:
        return same(self._decoded.digests)

    @cached_property
    def _groups(self) -> np.ndarray | None:
        return tied([file.group for file in self.listing.files], self._copies)

    @cached_property
    def _parts(self) -> np.ndarray:
        """The part of every file; a test part is split off if none is given."""
        parts = np.array([file.part for file in self.listing.files], dtype="U10")
        if "test" not in parts:
            free, groups = parts == "train", self._groups
            if groups is not None:  # What belongs to validation pictures is not tested on.
                free &= ~np.isin(groups, groups[parts == "validation"])
            rows = np.flatnonzero(free)
            own = None if groups is None else groups[rows]
            if own is not None and len(np.unique(own)) == len(own):
                own = None
            fraction = self.config.test_fraction
            aside = stratified_split(self._labels[rows], fraction, 0, own)[1]
            parts[rows[aside]] = "test"
        return parts

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        """The readable files of each part."""
        there = np.ones(len(self._parts), dtype=bool)
        there[list(self._unreadable)] = False
        return {part: np.flatnonzero((self._parts == part) & there) for part in PART_NAMES}

    @property
    def _side(self) -> int:
        assert self.config.image_size is not None
        return stored_side(self.config.image_size, self.config.fit)

    def _originals(self) -> Originals | None:
        side = self._side
        sizes = [size for size in self._decoded.sizes if not isinstance(size, str)]
        if set(sizes) <= {(side, side)}:
            return None
        ordered = sorted(sizes, key=lambda size: (min(size), max(size)))
        return Originals(
            smallest=ordered[0], median=ordered[len(ordered) // 2], largest=ordered[-1],
            enlarged=sum(min(size) < side for size in sizes),
        )  # fmt: skip


def _between(
    parts: np.ndarray, sets: Sequence[Sequence[int]], *, pictures: bool
) -> dict[str, int]:
    """Two parts -> sets of rows in both, or `pictures` of the second that are in such sets."""
    found: Counter[str] = Counter()
    for rows in sets:
        inside = Counter(parts[rows].tolist())
        for one, other in combinations(PART_NAMES, 2):
            if inside[one] and inside[other]:
                found[f"{one} and {other}"] += inside[other] if pictures else 1
    return dict(found)


def _first_of_each(files: Sequence[Any]) -> tuple[str, ...]:
    """The path of the first file of each class."""
    first: dict[int, str] = {}
    for file in files:
        first.setdefault(file.label, file.path)
    return tuple(first.values())
