"""`python -m reports.compare`: studies side by side, from one place or several."""

import re
from pathlib import Path
from typing import Annotated

import typer

from records.command_line import new_app, run_app, user_mistakes
from records.files import write_whole
from studies.study import Place

app = new_app()


@app.command()
def main(
    studies: Annotated[
        list[str],
        typer.Argument(
            help="two or more: a name, a run's folder (elsewhere/NAME), or NAME@URL of a storage"
        ),
    ],
    runs: Annotated[str, typer.Option(help="folder of the studies given by name")] = "runs",
    storage: Annotated[
        str | None, typer.Option(help="URL of their storage [SQLite in the study's folder]")
    ] = None,
) -> int:
    """Draw studies side by side: the best so far by trials, time and epochs, and a table."""
    with user_mistakes():
        page = write_comparison([place_of(study, Path(runs), storage) for study in studies], runs)
    print(f"compared  {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def place_of(study: str, runs: Path, storage: str | None = None) -> Place:
    """Where a study is that was given as a name, as a folder, or as NAME@URL.

    Args:
        study: What was given.
        runs: Folder of the studies that are given without one.
        storage: URL of the storage of the studies that are given by name.
    """
    name, at, url = study.partition("@")
    if at:
        return Place(name, runs / name, url)
    if "/" in study or "\\" in study:
        return Place(Path(study).name, Path(study))
    return Place(study, runs / study, storage)


def write_comparison(places: list[Place], runs: str) -> Path:
    """Write a page and its numbers below `comparisons/` in the runs' folder.

    Returns:
        The page.

    Raises:
        ValueError: In one sentence, if there are fewer than two studies, or one is not there.
        OSError: The files cannot be written.
    """
    if len(set(places)) < 2:
        raise ValueError(
            f"a comparison needs at least two different studies, but got {len(set(places))}: "
            f"name another one"
        )
    # They take a second to import, which a mistake in the arguments need not wait for.
    from reports.compared import compare, comparison_drawings
    from reports.exported import read_best
    from reports.page import render
    from reports.source import read_study

    read = [(read_study(place), read_best(place.folder / "best")) for place in places]
    comparison = compare(read)
    drawings = comparison_drawings(comparison)
    names = {name: None for e in comparison.entries if e.answer for name in e.answer.params}
    page = render(
        "compare.html.j2", drawings, c=comparison, drawings=drawings, read=read[0][0].read,
        names=list(names),
    )  # fmt: skip
    folder = Path(runs) / "comparisons"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_file_name(places)}.html"
    write_whole(path.with_suffix(".json"), comparison.model_dump_json(indent=1) + "\n")
    write_whole(path, page)
    return path


def _file_name(places: list[Place]) -> str:
    return re.sub("[^A-Za-z0-9-]+", "-", "_".join(place.name for place in places))[:120]


if __name__ == "__main__":
    raise SystemExit(run_app(app))
