"""Which class a picture is filed under, and copies of pictures in folders by class."""

import csv
import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

REVIEW = "review"
"""The folder of pictures that somebody should look at."""

COLUMNS = ("path", "class", "probability", "second_class", "second_probability", "filed_under")


class AlreadyThere(Exception):
    """A file that must not be replaced has the name of one that is to be written."""


class Tag(NamedTuple):
    """A row of the table: the two most probable classes of a picture, and where it belongs.

    Attributes:
        path: Relative to the folder that was tagged.
        best: The most probable class and its probability.
        second: The next one.
        filed_under: The class, or `REVIEW` where the probability is below the class's threshold.
    """

    path: Path
    best: tuple[str, float]
    second: tuple[str, float]
    filed_under: str

    def row(self) -> list[str]:
        """As in `COLUMNS`."""
        (best, p), (second, q) = self.best, self.second
        return [str(self.path), best, f"{p:.4f}", second, f"{q:.4f}", self.filed_under]


def tag(path: Path, top: list[tuple[str, float]], thresholds: Mapping[str, float | None]) -> Tag:
    """File a picture.

    Args:
        path: Of the picture, relative to the folder that is tagged.
        top: Its two most probable classes with their probabilities.
        thresholds: Least probability per class; None = never trusted.
    """
    (name, probability), second = top
    least = thresholds[name]
    trusted = least is not None and probability >= least
    return Tag(path, (name, probability), second, name if trusted else REVIEW)


@contextmanager
def new_table(path: Path) -> Iterator[Any]:
    """A CSV writer; the file is there when all of it is.

    Raises:
        AlreadyThere: Meanwhile something else got its name.
    """
    scratch = path.with_name(f".{path.name}.part")
    # File names are bytes, and need not be text: they are written as they are.
    with scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        yield writer
    _into_place(scratch, path)


def check_folders(classes: tuple[str, ...], root: Path, target: Path) -> None:
    """Whether every class can have a folder of its own.

    Raises:
        ValueError: In one sentence, if not.
    """
    if target.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"copies must not go into the folder that is tagged ('{root}'), but got '{target}'"
        )
    bad = [name for name in classes if Path(name).name != name or name == REVIEW]
    if bad:
        raise ValueError(
            f"to copy by class, the names of classes must be names of folders other than "
            f"'{REVIEW}', but got {', '.join(map(repr, bad))}: leave --copy-to out"
        )


def copy(root: Path, target: Path, tagged: Tag) -> None:
    """Copy a picture to `target/<class>/<its path>`; one that is there already stays.

    Raises:
        OSError: It cannot be copied.
        AlreadyThere: Another file of that name is there.
    """
    source, goal = root / tagged.path, target / tagged.filed_under / tagged.path
    goal.parent.mkdir(parents=True, exist_ok=True)
    if goal.exists() and filecmp.cmp(source, goal, shallow=False):
        return
    scratch = goal.with_name(f".{goal.name}.part")
    shutil.copy2(source, scratch)
    _into_place(scratch, goal)


def _into_place(scratch: Path, goal: Path) -> None:
    """Give a finished file its name, unless something else has that."""
    try:
        os.link(scratch, goal)
    except FileExistsError:
        raise AlreadyThere("another file of this name is there") from None
    except OSError:  # Some file systems, of memory cards for instance, have no links.
        if goal.exists():
            raise AlreadyThere("another file of this name is there") from None
        shutil.copy2(scratch, goal)
    finally:
        scratch.unlink()
