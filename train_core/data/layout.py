"""Which folders are parts and which are classes: `train/<class>/*`, or `<class>/*` alone."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Literal

from records.files import is_left_behind
from records.pixels import is_picture
from train_core.data.listing import (
    ImageFile,
    Listing,
    Part,
    holds_pictures,
    list_images,
)

Layout = Literal["parts", "classes"]

PART_NAMES: Mapping[Part, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "validation": frozenset({"val", "valid", "validation", "dev"}),
    "test": frozenset({"test", "testing", "eval"}),
}
"""What people call the parts, in any case."""

SPLIT_OFF = {
    "validation": "split from training ([data] validation_fraction)",
    "test": "split from training ([data] test_fraction)",
}
"""Where a part comes from that is not given."""


def part_named(name: str) -> Part | None:
    """The part that goes by this name, in any case."""
    known = name.strip().casefold()
    return next((part for part, names in PART_NAMES.items() if known in names), None)


def list_folder(root: Path, layout: Layout | None) -> Listing:
    """All images below a folder, by part and class.

    Raises:
        ValueError: In one sentence, if the folder is not laid out as it must be, or could be
            meant in two ways and `layout` does not say which.
    """
    tree, notes = _parts(root, layout), list[str]()
    classes = _class_folders(tree.parts["train"], tree.but, empty=True)
    _refuse_few(classes, tree.parts["train"])
    passed, files = Counter[str](), list[ImageFile]()
    where = {"train": _said(tree.parts["train"], root), **SPLIT_OFF}
    for part, folder in tree.parts.items():
        folders = classes if part == "train" else _class_folders(folder)
        if part != "train" and (reason := _no_part(folder, root, folders)):
            notes.append(reason)
            continue
        _refuse_others(folder, folders, classes)
        where[part] = _said(folder, root)
        for label, name in enumerate(classes):
            files += list_images(root, folders.get(name, ()), part, label, passed)
        passed["not in a class folder"] += _loose(folder)
    passed["not in a class folder"] += _loose(root) * (tree.parts["train"] != root)
    if tree.left_out:
        notes.append(f"{', '.join(tree.left_out)} beside the parts: not looked into")
    _refuse_empty(files, tuple(classes), tree.parts["train"])
    name = root.name or "folder"
    return Listing(root, name, tuple(classes), files, where, +passed, tuple(notes))


@dataclass(frozen=True)
class _Tree:
    """The folder of each part; `but` are folders in the training part that are no classes."""

    parts: dict[Part, Path]
    but: set[str] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)


def _parts(root: Path, layout: Layout | None) -> _Tree:
    folders = _folders(root)
    named = {name: part for name in folders if (part := part_named(name))}
    if layout == "classes":
        return _Tree({"train": root})
    if not named:
        if layout is None and len(folders) == 1 and _inside_out(root, folders):
            inner = root / folders[0]
            raise ValueError(
                f"the parts must be right in the folder that is given, but '{root}' holds only "
                f"'{folders[0]}', and they are in there: give --dataset {quote(str(inner))}"
            )
        if layout == "parts" or _inside_out(root, folders):
            raise ValueError(
                f"parts must be folders right in '{root}' (train/<class>/*), but it holds "
                f"{', '.join(folders[:5]) or 'none'}: move them there, or say layout = "
                f'"classes" under [data], and the parts are made anew'
            )
        return _Tree({"train": root})
    _refuse_two(root, named)
    others = [name for name in folders if name not in named and holds_pictures(root / name)]
    parts = {part: root / name for name, part in named.items()}
    # In the order in which images are listed.
    parts = {part: parts[part] for part in PART_NAMES if part in parts}
    if "train" not in parts:
        return _beside_classes(root, layout, parts, others, set(named))
    inside = _class_folders(parts["train"])
    if layout is None and (others or not inside):
        what = f"{', '.join(others[:5])} beside them" if others else "no class folders in them"
        _ask(root, f"{', '.join(named)} with {what}")
    return _Tree(parts, left_out=others)


def _beside_classes(
    root: Path, layout: Layout | None, parts: dict[Part, Path], others: list[str], named: set[str]
) -> _Tree:
    """A test or validation part beside the class folders, which are the training part."""
    if len(others) < 2:
        raise ValueError(
            f"a folder with {' and '.join(sorted(named))} must also have a training part "
            f"(train/<class>/*) or at least 2 class folders, but '{root}' has "
            f'{", ".join(others) or "neither"}: say layout = "classes" under [data] if every '
            f"folder is a class"
        )
    for folder in parts.values():
        # Pictures right in it may be those of a class, or pictures to predict.
        if layout is None and _loose(folder) and not _class_folders(folder):
            _ask(root, f"{folder.name} with pictures in it beside {', '.join(others[:5])}")
    return _Tree({"train": root, **parts}, named)


def _inside_out(root: Path, folders: Sequence[str]) -> bool:
    """Whether the parts lie in the class folders, which would mix them."""
    inside = [{part_named(name) for name in _folders(root / folder)} for folder in folders]
    return bool(inside) and all({"train", "test"} <= parts for parts in inside)


def _ask(root: Path, what: str) -> None:
    raise ValueError(
        f"folders must be parts or classes, but '{root}' holds {what}, which can mean either: say "
        f'layout = "parts" under [data] (other folders are left out) or layout = "classes" '
        f"(every folder is a class)"
    )


def _refuse_two(root: Path, named: Mapping[str, Part]) -> None:
    for part in PART_NAMES:
        same = [name for name, its in named.items() if its == part]
        if len(same) > 1:
            raise ValueError(
                f"there must be one folder per part, but '{root}' holds {' and '.join(same)}: "
                f'join them, or say layout = "classes" under [data] if they are classes'
            )


def _no_part(folder: Path, root: Path, folders: Mapping[str, Sequence[Path]]) -> str | None:
    """Why a folder called like a part cannot be one, if so."""
    place = _said(folder, root)
    if loose := _loose(folder) if not folders else 0:
        return f"{place} is left out: {loose} pictures without class folders have no labels"
    return None if folders else f"{place} is left out: it holds no pictures"


def _class_folders(
    folder: Path, but: Collection[str] = (), *, empty: bool = False
) -> dict[str, list[Path]]:
    """Class -> its folders that hold pictures, or are `empty`.

    A name is the same however its accents are encoded.
    """
    found: dict[str, list[Path]] = {}
    for name in _folders(folder):
        if name not in but and (empty or holds_pictures(folder / name)):
            found.setdefault(unicodedata.normalize("NFC", name), []).append(folder / name)
    return dict(sorted(found.items()))


def _folders(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(name for name in names if not is_left_behind(name))


def _loose(folder: Path) -> int:
    """Pictures that lie right in a folder."""
    paths = (path for path in folder.iterdir() if is_picture(path))
    return sum(path.is_file() and not is_left_behind(path.name) for path in paths)


def _said(folder: Path, root: Path) -> str:
    return "the class folders" if folder == root else f"{folder.relative_to(root).as_posix()}/"


def _refuse_others(
    folder: Path, folders: Mapping[str, Sequence[Path]], classes: Mapping[str, Sequence[Path]]
) -> None:
    if extra := [name for name in folders if name not in classes]:
        raise ValueError(
            f"'{folder}' may only hold the classes of the training part, but it also holds "
            f"{', '.join(extra)}: rename them or move them away"
        )


def _refuse_few(classes: Collection[str], folder: Path) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"a folder of images must hold at least 2 class folders (train/<class>/*), "
            f"but '{folder}' holds {len(classes)}: {', '.join(classes) or 'none'}"
        )


def _refuse_empty(files: Sequence[ImageFile], classes: Sequence[str], folder: Path) -> None:
    present = {file.label for file in files if file.part == "train"}
    empty = [name for label, name in enumerate(classes) if label not in present]
    if empty:
        raise ValueError(
            f"every class folder must hold pictures that Pillow reads, but in '{folder}' "
            f"these hold none: {', '.join(empty)}; add pictures or remove the folder"
        )
