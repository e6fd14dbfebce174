"""`python -m serve.similar IMAGE --index FILE`: the most similar pictures of a collection."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from records.command_line import SOME_FAILED, complain, new_app, run_app, say, user_mistakes
from serve.predict import ModelOption

app = new_app()


@app.command()
def main(
    image: Annotated[Path, typer.Argument(help="a picture, or - for stdin")],
    index: Annotated[Path, typer.Option(help="what `python -m serve.index` made")],
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, help="pictures to name")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table")] = False,
) -> int:
    """Name the pictures of a collection that are most like this one."""
    from serve.library.reading import predictions
    from serve.library.similar import load_collection
    from serve.model import Model, find_model

    with user_mistakes():
        loaded = Model(find_model(model))
        collection = load_collection(index, loaded)
    ((_, found),) = predictions(loaded, [image])
    if isinstance(found, str):
        complain(f"{image}: {found}")
        return SOME_FAILED
    for near in collection.nearest(found.embedding, top):
        path = str(collection.root / near.path)
        if as_json:
            values = {"path": path, "class": near.name, "similarity": near.similarity}
            sys.stdout.write(json.dumps(values) + "\n")
        else:
            say(f"{near.similarity:.4f}  {near.name:12}  {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_app(app))
