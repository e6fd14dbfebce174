"""`python -m serve.predict IMAGE...`: what pictures show."""

import json
import sys
from pathlib import Path
from typing import Annotated

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
    from serve.library.reading import pictures, predictions
    from serve.model import Model, find_model

    with user_mistakes():
        loaded = Model(find_model(model))
        paths = pictures(images)
        if not paths:
            named = ", ".join(f"'{path}'" for path in images)
            raise ValueError(f"there must be pictures to look at, but {named} hold none")
    width = min(60, max(len(printable(str(path))) for path in paths))
    bad = 0
    for path, found in predictions(loaded, paths):
        if isinstance(found, str):
            bad += 1
            complain(f"{path}: {found}")
            if as_json:
                sys.stdout.write(json.dumps({"path": str(path), "error": found}) + "\n")
        else:
            best = found.top(loaded.classes, top)
            line = _json(path, best) if as_json else _row(path, best, width)
            sys.stdout.write(f"{line}\n")
    return SOME_FAILED if bad else 0


def _json(path: Path, best: list[tuple[str, float]]) -> str:
    top = [{"class": name, "probability": round(p, 6)} for name, p in best]
    return json.dumps({"path": str(path), **top[0], "top": top})


def _row(path: Path, best: list[tuple[str, float]], width: int) -> str:
    cells = [f"{printable(name)} {probability:6.1%}" for name, probability in best]
    return f"{printable(str(path)):{width}}  {'   '.join(cells)}"


if __name__ == "__main__":
    raise SystemExit(run_app(app))
