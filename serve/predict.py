"""`python -m serve.predict IMAGE...`: what pictures show."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from records.command_line import SOME_FAILED, complain, new_app, printable, run_app, user_mistakes

app = new_app()

_Images = Annotated[list[Path], typer.Argument(help="files, folders, or - for stdin")]
ModelOption = Annotated[
    Path | None, typer.Option(help="exported folder [the only one in runs/*/best]")
]


@app.command()
def main(
    images: _Images,
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, help="classes to name per picture")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table")] = False,
) -> int:
    """Say what pictures show, the most probable classes first."""
    from serve.facts import find_model
    from serve.library.batches import Unreadable, answers
    from serve.library.files import pictures
    from serve.model import Model

    with user_mistakes():
        loaded = Model(find_model(model))
        paths = pictures(images)
        if not paths:
            raise ValueError(f"there must be pictures to look at, but {_named(images)} hold none")
    width = min(60, max(len(printable(str(path))) for path in paths))
    bad = 0
    for seen in answers(loaded, paths):
        if isinstance(seen, Unreadable):
            bad += 1
            complain(f"{seen.path}: {seen.reason}")
            line = json.dumps({"path": str(seen.path), "error": seen.reason}) if as_json else None
        else:
            best = ranked(seen.probabilities, loaded.classes, top)
            line = _json(seen.path, best) if as_json else _row(seen.path, best, width)
        if line is not None:
            sys.stdout.write(f"{line}\n")
    return SOME_FAILED if bad else 0


def ranked(probabilities: Any, classes: tuple[str, ...], top: int) -> list[tuple[str, float]]:
    """The most probable classes, probabilities to 6 digits; of equal ones the first leads."""
    order = (-probabilities).argsort(kind="stable")[:top]
    return [(classes[i], round(float(probabilities[i]), 6)) for i in order]


def _json(path: Path, best: list[tuple[str, float]]) -> str:
    name, probability = best[0]
    return json.dumps(
        {
            "path": str(path),
            "class": name,
            "probability": probability,
            "top": [{"class": n, "probability": p} for n, p in best],
        }
    )


def _row(path: Path, best: list[tuple[str, float]], width: int) -> str:
    cells = [f"{printable(name)} {probability:6.1%}" for name, probability in best]
    return f"{printable(str(path)):{width}}  {'   '.join(cells)}"


def _named(images: list[Path]) -> str:
    return ", ".join(f"'{path}'" for path in images)


if __name__ == "__main__":
    raise SystemExit(run_app(app))
