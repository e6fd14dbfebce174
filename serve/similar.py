"""`python -m serve.similar IMAGE --index FILE`: the most similar pictures of a collection."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from records.command_line import SOME_FAILED, complain, new_app, printable, run_app, user_mistakes
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
    from serve.facts import find_model
    from serve.library.batches import Unreadable, answers
    from serve.library.nearest import load_collection
    from serve.model import Model

    with user_mistakes():
        loaded = Model(find_model(model))
        collection = load_collection(index, loaded)
    (seen,) = answers(loaded, [image])
    if isinstance(seen, Unreadable):
        complain(f"{image}: {seen.reason}")
        return SOME_FAILED
    for near in collection.nearest(seen.embedding, top):
        path = collection.root / near.path
        if as_json:
            values = {"path": str(path), "class": near.name, "similarity": near.similarity}
            sys.stdout.write(json.dumps(values) + "\n")
        else:
            sys.stdout.write(f"{near.similarity:.4f}  {near.name:12}  {printable(str(path))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_app(app))
