"""`python -m reports.run`: a study as one page to look at and to send to a colleague."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from records.command_line import new_app, run_app, user_mistakes
from records.files import write_whole
from reports.numbers.summary import summarise
from reports.page import report_page
from reports.source import read_source
from studies.study import Place

app = new_app()


@app.command()
def main(
    study: Annotated[str, typer.Option(help="name of the study")],
    runs: Annotated[str, typer.Option(help="folder of all studies")] = "runs",
    storage: Annotated[
        str | None, typer.Option(help="URL of its storage [SQLite in the study's folder]")
    ] = None,
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
    """Write `index.html` and `summary.json`.

    Args:
        place: Where the study is.
        out: Folder to write to; None = `report/` in the study's folder.

    Returns:
        The page.

    Raises:
        ValueError: In one sentence, if there is no such study or the files cannot be written.
    """
    source = read_source(place)
    summary = summarise(source)
    page = (place.folder / "report" if out is None else out) / "index.html"
    numbers = summary.model_dump_json(indent=1) + "\n"
    write_files({page.with_name("summary.json"): numbers, page: report_page(summary, source)})
    return page


def write_files(contents: Mapping[Path, str]) -> None:
    """Write the files of a report.

    Raises:
        ValueError: In one sentence, if one cannot be written.
    """
    for path, content in contents.items():
        try:
            write_whole(path, content)
        except OSError as error:
            raise ValueError(
                f"a report must be able to write its files, but '{path.parent}': "
                f"{error.strerror}; --out takes another folder"
            ) from error


if __name__ == "__main__":
    raise SystemExit(run_app(app))
