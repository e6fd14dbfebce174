"""`python -m serve.tag FOLDER`: file a picture collection by class."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from records.command_line import (
    SOME_FAILED,
    USER_MISTAKE,
    complain,
    new_app,
    run_app,
    say,
    user_mistakes,
)
from serve.predict import ModelOption

if TYPE_CHECKING:
    from serve.model import Model

app = new_app()

_Out = Annotated[Path | None, typer.Option(help="CSV file to write [tags-of-FOLDER.csv]")]
_CopyTo = Annotated[
    Path | None, typer.Option(help="copy pictures to CLASS/ and review/ in this folder")
]
_Threshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="least probability of a trusted answer [0.5]")
]
_Precision = Annotated[
    float | None,
    typer.Option(help="thresholds that make this share of the trusted answers right, say 0.95"),
]


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="pictures; they are never moved or changed")],
    model: ModelOption = None,
    out: _Out = None,
    copy_to: _CopyTo = None,
    threshold: _Threshold = None,
    precision: _Precision = None,
) -> int:
    """Write a table of all pictures with their class, and file copies of them by class."""
    from serve.library.reading import below
    from serve.library.tag import AlreadyThere, check_folders
    from serve.model import Model, find_model

    with user_mistakes():
        loaded = Model(find_model(model))
        table = out or Path(f"tags-of-{folder.resolve().name}.csv")
        if table.exists():
            raise ValueError(f"the table must be a new file, but '{table}' exists: give --out")
        paths = list(below(folder))
        if not paths:
            raise ValueError(f"there must be pictures to tag, but '{folder}' holds none")
        if copy_to is not None:
            check_folders(loaded.classes, folder, copy_to)
        thresholds = _thresholds(loaded, threshold, precision)
    try:
        bad = _tag_all(loaded, folder, paths, table, copy_to, thresholds)
    except AlreadyThere as error:
        complain(f"{table}: {error}")
        return USER_MISTAKE
    return SOME_FAILED if bad else 0


def _thresholds(
    model: "Model", threshold: float | None, precision: float | None
) -> Mapping[str, float | None]:
    """Least probability per class."""
    from serve.library.thresholds import per_class, read_held_out

    if precision is None:
        return dict.fromkeys(model.classes, 0.5 if threshold is None else threshold)
    if threshold is not None:
        raise ValueError("--threshold and --precision exclude each other: give one of them")
    if not 0 < precision < 1:
        raise ValueError(f"--precision must be between 0 and 1, but got {precision}")
    held = read_held_out(model.folder)
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
                f"{name}: never trusted, since no threshold is known to reach {precision:.0%} "
                f"({one.pictures} held-out pictures were called so)"
            )
        else:
            say(
                f"{name}: trusted from {one.probability:.3f} on; of the held-out pictures called "
                f"so, {one.share:.0%} reach it and {one.precision:.1%} of these were right"
            )
    return {name: one.probability for name, one in found.items()}


def _tag_all(
    model: "Model",
    root: Path,
    paths: list[Path],
    table: Path,
    copy_to: Path | None,
    thresholds: Mapping[str, float | None],
) -> int:
    """Returns how many pictures could not be read or copied."""
    from serve.library.reading import predictions
    from serve.library.tag import REVIEW, AlreadyThere, copy, new_table, tag

    bad = trusted = 0
    with new_table(table) as writer:
        for path, found in predictions(model, paths):
            if isinstance(found, str):
                bad += 1
                complain(f"{path}: {found}")
                continue
            tagged = tag(path.relative_to(root), found.top(model.classes, 2), thresholds)
            writer.writerow(tagged.row())
            trusted += tagged.filed_under != REVIEW
            if copy_to is not None:
                try:
                    copy(root, copy_to, tagged)
                except (OSError, AlreadyThere) as error:
                    bad += 1
                    reason = error.strerror if isinstance(error, OSError) else error
                    complain(f"{path}: not copied, {reason}")
    say(f"{len(paths)} pictures: {trusted} trusted, {bad} failed; see {table}")
    return bad


if __name__ == "__main__":
    raise SystemExit(run_app(app))
