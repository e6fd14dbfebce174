"""`python -m reports.run`: a study as one page to look at and to send to a colleague."""

from pathlib import Path
from typing import Annotated

import typer

from records.command_line import (
    RunsOption,
    StorageOption,
    StudyOption,
    new_app,
    run_app,
    user_mistakes,
)
from records.files import write_whole
from reports.numbers import Numbers
from reports.numbers.summary import summarise
from reports.page import report_page
from reports.source import read_source
from studies.study import Place

app = new_app()


@app.command()
def main(
    study: StudyOption,
    runs: RunsOption = "runs",
    storage: StorageOption = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for the page [report/ in the study's folder]")
    ] = None,
) -> int:
    """Draw a finished, stopped or running study."""
    with user_mistakes():
        page = write_report(Place(study, Path(runs) / study, storage), out)
    print(f"report  {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def write_report(place: Place, out: Path | None = None) -> Path:
    """Write `index.html` and `summary.json` into a folder; returns the page.

    Without a folder it is `report/` in the study's own.

    Raises:
        ValueError: In one sentence, if there is no such study or the files cannot be written.
    """
    source = read_source(place)
    summary = summarise(source)
    folder = place.folder / "report" if out is None else out
    html = report_page(summary, source, folder)
    return write_files(summary, folder / "summary.json", html, folder / "index.html")


def write_files(numbers: Numbers, numbers_path: Path, html: str, page: Path) -> Path:
    """Write the numbers of a report and then its page, which it returns.

    Raises:
        ValueError: In one sentence, if one cannot be written.
    """
    try:
        write_whole(numbers_path, numbers.model_dump_json(indent=1) + "\n")
        write_whole(page, html)
    except OSError as error:
        raise ValueError(
            f"a report must be able to write its files, but '{page.parent}': "
            f"{error.strerror}; --out takes another folder"
        ) from error
    return page


if __name__ == "__main__":
    raise SystemExit(run_app(app))
