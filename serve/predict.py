"""`python -m serve.predict IMAGE...`: what pictures show.

Files are found, decoded by threads, and predicted in batches, in order; the other commands use
this, too.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from records.command_line import (
    SOME_FAILED,
    complain,
    new_app,
    printable,
    run_app,
    user_mistakes,
    warn,
)
from records.files import walk, write_whole
from records.machine import cores
from records.pixels import is_picture
from records.pixels.heat import overlay_jpeg
from serve.answer import DOUBTS, Answer, limits_of
from serve.decode import UnreadablePicture, decode
from serve.model import Model, Prediction, find_model

app = new_app()

ModelOption = Annotated[
    Path | None, typer.Option(help="exported folder [the only one in runs/*/best]")
]

_STDIN = Path("-")
_LONGEST = 200  # Bytes of a name.
_FEW = 200  # A progress bar for fewer would only flicker.


@app.command()
def main(
    images: Annotated[list[Path], typer.Argument(help="files, folders, or - for stdin")],
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, help="classes to name per picture")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table")] = False,
    explain: Annotated[
        Path | None, typer.Option(help="new folder for pictures of where the model looks")
    ] = None,
) -> int:
    """Say what pictures show, the most probable classes first."""
    with user_mistakes():
        loaded = Model(find_model(model))
        overlays = None if explain is None else _Overlays(loaded, explain)
        # Files that are named count as pictures whatever they are called.
        paths = [path for one in images for path in (below(one) if one.is_dir() else [one])]
        if not paths:
            named = ", ".join(f"'{path}'" for path in images)
            raise ValueError(f"there must be pictures to look at, but {named} hold none")
        limits = limits_of(loaded)
    if limits.beyond is None:
        warn(limits.beyond_because)
    width = min(60, max(len(printable(str(path))) for path in paths))
    bad = 0
    for path, image, found in _looked_at(loaded, paths, explained=overlays is not None):
        if isinstance(found, str):
            bad += 1
            complain(f"{path}: {found}")
            if as_json:
                sys.stdout.write(json.dumps({"path": str(path), "error": found}) + "\n")
            continue
        answer = Answer.of(str(path), found, loaded.classes, top, limits)
        line = json.dumps(answer.model_dump()) if as_json else _row(answer, width)
        sys.stdout.write(f"{line}\n")
        if overlays is not None:
            overlays.write(path, image, found)
    return SOME_FAILED if bad else 0


class _Overlays:
    """Pictures of where a model looks, in a folder that is empty at first.

    Raises:
        ValueError: In one sentence, if the model has no maps, or the folder cannot be used.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        if model.unexplained is not None:
            raise ValueError(f"--explain: {model.unexplained}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_used = any(folder.iterdir())
        except OSError as error:
            raise ValueError(
                f"--explain must be a folder that can be made, but '{folder}': {error.strerror}"
            ) from None
        if is_used:
            raise ValueError(
                f"--explain must be a new or an empty folder, but '{folder}' holds files: name "
                f"another one"
            )
        self._folder, self._taken, self._crop = folder, set[str](), model.metrics.data.crop

    def write(self, path: Path, pixels: np.ndarray, found: Prediction) -> None:
        """Write one as `NAME.jpg`, or `NAME-2.jpg` if another picture has that name."""
        assert found.heat is not None
        # What follows must fit a file's name, too.
        stem = os.fsdecode(os.fsencode("stdin" if path == _STDIN else path.stem)[:_LONGEST])
        name = free_name(stem, self._taken)
        write_whole(self._folder / f"{name}.jpg", overlay_jpeg(pixels, found.heat, self._crop))


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken; then it is.

    No two are one file, also where a system does not tell capitals or spellings of accents apart.
    """
    numbered = (f"{name}-{number}" for number in count(2))
    found = next(one for one in chain([name], numbered) if _key(one) not in taken)
    taken.add(_key(found))
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _row(answer: Answer, width: int) -> str:
    cells = [f"{printable(one.name)} {one.probability:6.1%}" for one in answer.top]
    if answer.unsure:
        cells.append(f"unsure: {' and '.join(DOUBTS[one] for one in answer.unsure_by)}")
    return f"{printable(answer.path):{width}}  {'   '.join(cells)}"


def below(folder: Path) -> Iterator[Path]:
    """All pictures below a folder, by their suffix, sorted.

    What is hidden or left behind by systems is left out, and links to folders are followed. A
    folder that cannot be opened comes last, as if it were a picture: reading it will fail, and
    whoever reads says so.
    """
    closed: list[Path] = []
    for path in walk(folder, lambda error: closed.append(Path(error.filename))):
        # A pipe would never end; a link to nowhere is named when it cannot be read.
        if is_picture(path) and (path.is_file() or not path.exists()):
            yield path
    yield from closed


def predictions(model: Model, paths: Sequence[Path]) -> Iterator[tuple[Path, Prediction | str]]:
    """What a model says of files or stdin (`-`), in order; memory does not grow with their number.

    Yields:
        Each file with its prediction, or with the reason why it cannot be read.
    """
    for path, _, found in _looked_at(model, paths, explained=False):
        yield path, found


def _looked_at(
    model: Model, paths: Sequence[Path], *, explained: bool
) -> Iterator[tuple[Path, np.ndarray, Prediction | str]]:
    """The same, and the pixels, which are none where a file cannot be read."""
    starts = range(0, len(paths), model.at_once)
    with ThreadPoolExecutor(cores()) as pool:

        def decoded(start: int) -> Iterator[np.ndarray | str]:
            chunk = paths[start : start + model.at_once]
            return pool.map(lambda path: _decode_or_say_why(path, model), chunk)

        following = decoded(0)
        for start in _tracked(starts, len(paths)):
            images = list(following)
            # While the network looks at these, threads decode the next ones.
            following = decoded(start + model.at_once)
            good = [image for image in images if not isinstance(image, str)]
            found = iter(model.predict(np.stack(good), explained=explained) if good else ())
            for path, image in zip(paths[start : start + model.at_once], images, strict=True):
                if isinstance(image, str):
                    yield path, np.empty(0, np.uint8), image
                else:
                    yield path, image, next(found)


def _decode_or_say_why(path: Path, model: Model) -> np.ndarray | str:
    picture = sys.stdin.buffer.read() if path == _STDIN else path
    try:
        return decode(picture, model.side, fit=model.metrics.data.fit)
    except UnreadablePicture as error:
        return str(error)


def _tracked(starts: range, count: int) -> Iterable[int]:
    screen = Console(stderr=True)
    if count < _FEW or not screen.is_terminal:
        return starts
    return track(starts, f"{count:,} pictures", console=screen, transient=True)


if __name__ == "__main__":
    # Overlays are wanted, whoever reads the answers.
    raise SystemExit(run_app(app, lasting=any(w.startswith("--explain") for w in sys.argv)))
