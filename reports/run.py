"""`python -m reports.run`: a study as one page to look at and to send to a colleague."""

from pathlib import Path
from typing import Annotated

import typer

from records.command_line import new_app, run_app, user_mistakes
from records.files import write_whole
from studies.study import Place

app = new_app()


@app.command()
def main(
    study: Annotated[str, typer.Option(help="name of the study")],
    runs: Annotated[str, typer.Option(help="folder of all studies")] = "runs",
    storage: Annotated[
        str | None, typer.Option(help="URL of its storage [SQLite in the study's folder]")
    ] = None,
) -> int:
    """Draw a finished, stopped or running study."""
    with user_mistakes():
        page = write_report(Place(study, Path(runs) / study, storage))
    print(f"report  {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def write_report(place: Place) -> Path:
    """Write `report/index.html` and `report/summary.json` in the study's folder.

    Args:
        place: Where the study is.

    Returns:
        The page.

    Raises:
        ValueError: In one sentence, if there is no such study.
        OSError: The files cannot be written.
    """
    # They take a second to import, which a mistyped flag need not wait for.
    from reports.exported import read_best
    from reports.report import report_page
    from reports.source import read_study
    from reports.summary import summarise

    source = read_study(place)
    exported = read_best(place.folder / "best")
    summary = summarise(source, exported)
    page = report_page(summary, source, exported)
    folder = place.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.json", summary.model_dump_json(indent=1) + "\n")
    write_whole(folder / "index.html", page)
    return folder / "index.html"


if __name__ == "__main__":
    raise SystemExit(run_app(app))
