"""`python -m serve.tag FOLDER`: sort a picture collection by class.

A table names the class of every picture, and copies of the pictures go to folders by class.
"""

import csv
import errno
import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import typer

from records.command_line import (
    SOME_FAILED,
    USER_MISTAKE,
    complain,
    new_app,
    run_app,
    say,
    user_mistakes,
    warn,
)
from serve.answer import Doubt, is_beyond, limits_of
from serve.model import Model, Prediction, find_model
from serve.predict import ModelOption, below, free_name, predictions
from serve.thresholds import per_class, read_held_out

app = new_app()

_REVIEW = "review"  # The folder of pictures that somebody should look at.
# What some file system takes for something else than a name, and names that Windows keeps.
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.|[. ]$|%(?=[0-9A-F]{2})')
_KEPT = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(?![^.])")
_LONGEST = 200  # Bytes of a folder's name, with room for a number.
_COLUMNS = (
    "path", "class", "probability", "second_class", "second_probability", "filed_under",
    "unsure_by", "distance",
)  # fmt: skip


_Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="least probability of a trusted answer [the service's]"),
]
_Precision = Annotated[
    float | None,
    typer.Option(help="thresholds that make this share of the trusted answers right, say 0.95"),
]
_Beyond = Annotated[
    float | None,
    typer.Option(min=0, help="distance beyond which no answer is trusted; 2 = none is too far"),
]


@app.command()
def main(  # noqa: PLR0913 - one argument per flag
    folder: Annotated[Path, typer.Argument(help="pictures; they are never moved or changed")],
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write [tags-of-FOLDER.csv]")
    ] = None,
    copy_to: Annotated[
        Path | None, typer.Option(help="copy pictures to CLASS/ and review/ in this folder")
    ] = None,
    threshold: _Threshold = None,
    precision: _Precision = None,
    unsure_beyond: _Beyond = None,
) -> int:
    """Write a table of all pictures with their class, and file copies of them by class."""
    with user_mistakes():
        loaded = Model(find_model(model))
        table = out or Path(f"tags-of-{folder.resolve().name}.csv")
        if table.exists():
            raise ValueError(f"the table must be a new file, but '{table}' exists: give --out")
        paths = list(below(folder))
        if not paths:
            raise ValueError(f"there must be pictures to tag, but '{folder}' holds none")
        if copy_to is not None:
            _check_target(folder, copy_to)
        limits = limits_of(loaded, beyond=unsure_beyond)
        trust = _Trust(_thresholds(loaded, threshold, precision), limits.beyond)
    if limits.beyond is None:
        warn(limits.beyond_because)
    try:
        bad = _tag_all(loaded, folder, paths, table, copy_to, trust)
    except FileExistsError as error:
        complain(f"{table}: {error.strerror}")
        return USER_MISTAKE
    return SOME_FAILED if bad else 0


class _Trust(NamedTuple):
    """Which answers are trusted."""

    thresholds: Mapping[str, float | None]  # The least probability per class; None = never.
    beyond: float | None  # The largest distance to the training pictures; None = not known.

    def doubts(self, name: str, prediction: Prediction) -> list[Doubt]:
        """What speaks against the class of this name; nothing if it is trusted."""
        least, found = self.thresholds[name], list[Doubt]()
        if least is None or float(prediction.probabilities.max()) < least:
            found.append("probability")
        if is_beyond(prediction, self.beyond):
            found.append("distance")
        return found


def _thresholds(
    model: Model, threshold: float | None, precision: float | None
) -> Mapping[str, float | None]:
    """Least probability per class."""
    if precision is None:
        return dict.fromkeys(model.classes, limits_of(model, threshold).below)
    if threshold is not None:
        raise ValueError("--threshold and --precision exclude each other: give one of them")
    if not 0 < precision < 1:
        raise ValueError(f"--precision must be between 0 and 1, but got {precision}")
    held = read_held_out(model.folder, len(model.classes))
    if held is None:
        raise ValueError(
            f"--precision needs answers about held-out pictures (validation.npz), but "
            f"'{model.folder}' has none: export it again (python -m search.finalize) or give "
            f"--threshold"
        )
    found = per_class(held, model.classes, precision)
    for name, one in found.items():
        if one.probability is None:
            say(
                f"{name}: never trusted, since no threshold is shown to reach {precision:.0%}: "
                f"{one.doubt}"
            )
        else:
            say(
                f"{name}: trusted from {one.probability:.3f} on; of the held-out pictures called "
                f"so, {one.share:.0%} reach it and {one.precision:.1%} of these were right"
            )
    return {name: one.probability for name, one in found.items()}


def _tag_all(
    model: Model,
    root: Path,
    paths: list[Path],
    table: Path,
    copy_to: Path | None,
    trust: _Trust,
) -> int:
    """Returns how many pictures could not be read or copied."""
    bad = trusted = far = 0
    folders, review = _folders(model.classes)
    with _new_table(table) as writer:
        for path, found in predictions(model, paths):
            if isinstance(found, str):
                bad += 1
                complain(f"{path}: {found}")
                continue
            (name, probability), (second, less) = found.top(model.classes, 2)
            doubts = trust.doubts(name, found)
            trusted += not doubts
            far += "distance" in doubts
            place, folder = path.relative_to(root), review if doubts else folders[name]
            away = "" if found.distance is None else f"{found.distance:.6g}"
            row = [place, name, f"{probability:.4f}", second, f"{less:.4f}", folder]
            writer.writerow([*row, " ".join(doubts), away])
            if copy_to is not None:
                try:
                    _copy(path, copy_to / folder / place)
                except OSError as error:
                    bad += 1
                    complain(f"{path}: not copied, {error.strerror}")
    unlike = "" if trust.beyond is None else f"{far} unlike the training pictures, "
    say(f"{len(paths)} pictures: {trusted} trusted, {unlike}{bad} failed; see {table}")
    return bad


def _check_target(root: Path, target: Path) -> None:
    if target.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"copies must not go into the folder that is tagged ('{root}'), but got '{target}'"
        )


def _folders(classes: tuple[str, ...]) -> tuple[Mapping[str, str], str]:
    """The folder of each class, and the one for review; said where it is not simply the name.

    No two are one folder, see `free_name`.
    """
    taken: set[str] = set()
    folders = {name: free_name(_fit(name), taken) for name in classes}
    review = free_name(_REVIEW, taken)
    for name, folder in folders.items():
        if folder != name:
            say(f"{name}: filed under '{folder}'")
    if review != _REVIEW:
        say(f"to be reviewed: filed under '{review}', since a class has that name")
    return folders, review


def _fit(name: str) -> str:
    """A class's name as the name of a folder: what does not fit is percent-encoded."""
    fit = _UNFIT.sub(lambda found: quote(found[0], safe="").replace(".", "%2E"), name)
    if kept := _KEPT.match(fit):
        fit = f"%{ord(kept[0][0]):02X}{fit[1:]}"
    return fit.encode()[:_LONGEST].decode(errors="ignore") or "%"


@contextmanager
def _new_table(path: Path) -> Iterator[Any]:
    """A CSV writer; the file is there when all of it is."""
    scratch = path.with_name(f".{path.name}.part")
    # File names are bytes, and need not be text: they are written as they are.
    with scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        yield writer
    _into_place(scratch, path)


def _copy(picture: Path, goal: Path) -> None:
    """What is there already stays."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    if goal.exists() and filecmp.cmp(picture, goal, shallow=False):
        return
    scratch = goal.with_name(f".{goal.name}.part")
    shutil.copy2(picture, scratch)
    _into_place(scratch, goal)


def _into_place(scratch: Path, goal: Path) -> None:
    """Give a finished file its name, unless something else has that."""
    taken = FileExistsError(errno.EEXIST, "another file of this name is there")
    try:
        os.link(scratch, goal)
    except FileExistsError:
        raise taken from None
    except OSError:  # Some file systems, of memory cards for instance, have no links.
        if goal.exists():
            raise taken from None
        shutil.copy2(scratch, goal)
    finally:
        scratch.unlink()


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
