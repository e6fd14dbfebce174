"""`python -m serve.index FOLDER`: make a picture collection searchable, or bring it up to date."""

from pathlib import Path
from typing import Annotated

import typer

from records.command_line import SOME_FAILED, complain, new_app, run_app, say, user_mistakes
from serve.predict import ModelOption

app = new_app()


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="pictures, in any sub-folders")],
    model: ModelOption = None,
    index: Annotated[
        Path | None, typer.Option(help="file to keep the index in [FOLDER.index, right here]")
    ] = None,
) -> int:
    """Look at all pictures that are new or changed; what was done before is kept."""
    from serve.library.index import index_for, update
    from serve.model import Model, find_model

    with user_mistakes():
        if not folder.is_dir():
            raise ValueError(f"pictures must be in a folder that exists, but got '{folder}'")
        loaded = Model(find_model(model))
        path = index or Path(f"{folder.resolve().name}.index")
        opened = index_for(path, loaded, folder)
    done = update(opened, loaded, folder, complain)
    say(
        f"{path}: {done.kept + done.added} pictures ({done.added} new or changed, {done.kept} "
        f"as before, {done.dropped} gone, {done.unreadable} not readable)"
    )
    return SOME_FAILED if done.unreadable else 0


if __name__ == "__main__":
    raise SystemExit(run_app(app))
