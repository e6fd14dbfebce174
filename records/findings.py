"""`Findings`: what was found in a data set before anything was trained on it, and in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from records.pixels import Fit
from records.words import writable

_FEW = 12  # Classes of which each is named with its count.
_FITS = {"crop": "", "squash": " with their proportions changed", "pad": " with borders"}
_NAMED = 3  # Examples in a line; the inspect command names all.


class _Fact(BaseModel):
    """Frozen; what later versions add is kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _all_writable(cls, values: Any) -> Any:
        return _writable(values)


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, Mapping):
        return {_writable(key): _writable(inner) for key, inner in value.items()}
    return tuple(map(_writable, value)) if isinstance(value, list | tuple) else value


class Originals(_Fact):
    """Sizes of the pictures before they were resized, width x height in pixels.

    The median is one picture's, by its shorter side; `enlarged` have a shorter side below the size
    used.
    """

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    enlarged: int


class Findings(_Fact):
    """What was found.

    Attributes:
        where: Part ("train", "validation", "test") -> where it came from, in words.
        counts: Part -> class -> pictures; a validation part only where one is given.
        image_size: Side in pixels that the pictures were brought to.
        crop_size: Side of their centre, which is what networks see at most; None = all of it.
        fit: How they became squares: "crop", "squash" or "pad".
        originals: None where the pictures had that size from the beginning.
        passed_over: Kind (suffix, "hidden", name of a file or folder that systems leave behind)
            -> files that were not looked at.
        copies: Pictures whose pixels another picture in front of them has, at the size used.
        copies_between: Two parts ("train and test") -> pictures of the second with a copy in the
            first.
        two_classes: The first sets of paths with the same pixels in several classes.
        two_classes_count: How many sets there are.
        grouped_by: What makes pictures a group, if that was asked for.
        groups: How many there are.
        groups_between: Two parts -> groups with pictures in both.
        notes: What else somebody should know, in whole sentences.
        mirror: Whether pictures are mirrored in training.
        mirror_why: The reason.
    """

    where: dict[str, str]
    counts: dict[str, dict[str, int]]
    image_size: int
    crop_size: int | None = None
    fit: Fit = "crop"
    originals: Originals | None = None
    passed_over: dict[str, int] = {}
    copies: int = 0
    copies_between: dict[str, int] = {}
    two_classes: tuple[tuple[str, ...], ...] = ()
    two_classes_count: int = 0
    grouped_by: str | None = None
    groups: int = 0
    groups_between: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    mirror: bool = True
    mirror_why: str = ""

    @property
    def untested(self) -> list[str]:
        """Classes without a test picture."""
        return [name for name, n in self.counts.get("test", {}).items() if not n]

    def facts(self) -> Iterator[str]:
        """What is simply so, a line each."""
        yield f"classes: {_counted(self._all())}"
        yield "parts: " + ", ".join(f"{part} {text}" for part, text in self.where.items())
        mirrored = "mirrored in training" if self.mirror else "not mirrored"
        yield f"pictures: {_sizes(self)}; {mirrored}, {self.mirror_why}"
        if self.grouped_by:
            yield f"groups: {self.groups:,} by {self.grouped_by}, none of them is split"
        if self.passed_over:
            ordered = sorted(self.passed_over.items(), key=lambda kind: -kind[1])
            yield "passed over: " + ", ".join(f"{n:,} {_kind(kind)}" for kind, n in ordered)

    def warnings(self) -> Iterator[str]:
        """What somebody should look at, a line each."""
        yield from self.notes
        if self.untested:
            yield f"no test pictures of {_some(self.untested)}: nothing is known of these classes"
        if unseen := [name for name, n in self.counts.get("validation", {}).items() if not n]:
            yield f"no validation pictures of {_some(unseen)}"
        if self.copies:
            yield (
                f"{self.copies:,} of {sum(self._all().values()):,} pictures are exact copies of "
                f"others; where the parts are split here, copies stay in one part"
            )
        for parts, n in self.copies_between.items():
            first, second = parts.split(" and ")
            total = sum(self.counts[second].values())
            yield (
                f"{n:,} of {total:,} {second} pictures are exact copies of {first} pictures, so "
                f"that {second} accuracy is partly memory"
                + (": no other picture is left to tell" * (n == total))
            )
        for parts, n in self.groups_between.items():
            yield f"{n:,} groups have pictures in both {parts}, as the parts are given"
        if self.two_classes:
            sets = "; ".join(" = ".join(paths) for paths in self.two_classes[:_NAMED])
            more = self.two_classes_count - len(self.two_classes[:_NAMED])
            yield f"the same picture in two classes: {sets}" + (f" and {more} more" * (more > 0))

    def lines(self) -> Iterator[str]:
        """All of it, warnings marked as such."""
        yield from self.facts()
        yield from (f"warning: {text}" for text in self.warnings())

    def _all(self) -> dict[str, int]:
        parts = list(self.counts.values())
        return {name: sum(part.get(name, 0) for part in parts) for name in parts[0]}


def _counted(counts: Mapping[str, int]) -> str:
    """Every class, or the first and the smallest ones."""

    def words(names: Sequence[str]) -> str:
        return ", ".join(f"{name} {counts[name]:,}" for name in names)

    names = list(counts)
    if len(names) <= _FEW:
        return words(names)
    smallest = sorted(names, key=lambda name: counts[name])[:_NAMED]
    return f"{len(names)}: {words(names[:_NAMED])}, ...; the smallest: {words(smallest)}"


def _kind(kind: str) -> str:
    """A suffix, or where the files lie."""
    return kind if kind.startswith(".") or " " in kind or kind == "hidden" else f"in {kind}"


def _sizes(found: Findings) -> str:
    side, sizes = f"{found.image_size}x{found.image_size}", found.originals
    used = f"used as {side}{_FITS[found.fit]}"
    if found.crop_size not in (None, found.image_size):
        used += f", seen at {found.crop_size}"
    if sizes is None:
        return used
    smallest, median, largest = (
        f"{w}x{h}" for w, h in (sizes.smallest, sizes.median, sizes.largest)
    )
    same = smallest == largest
    originals = smallest if same else f"{smallest} to {largest} (median {median})"
    enlarged = f", {sizes.enlarged:,} of them enlarged" if sizes.enlarged else ""
    return f"originals {originals}, {used}{enlarged}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
